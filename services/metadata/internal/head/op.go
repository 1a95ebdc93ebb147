package head

import (
	"context"
	"sync/atomic"
)

// op is one write on its way through the committer.
type op struct {
	write *Write
	// since is a revision before the first try of the write, as far as this replica must look back.
	since int64
	// settled: a barrier has passed since the caller came, so a refusal is final.
	settled bool

	change change
	call   *call

	// outcome is written by the committer, then done is set; the caller reads it only then.
	outcome outcome
	done    atomic.Bool
}

// call is one try of some writes; its caller waits for all of them.
type call struct {
	left atomic.Int64
	all  chan struct{}
	gone <-chan struct{} // the caller's context
}

func newCall(ctx context.Context, n int) *call {
	c := &call{all: make(chan struct{}), gone: ctx.Done()}
	c.left.Store(int64(n))
	return c
}

func (c *call) abandoned() bool {
	select {
	case <-c.gone:
		return true
	default:
		return false
	}
}

// step is what a try of a write came to.
type step int

const (
	// stepFinal: outcome.result is the answer.
	stepFinal step = iota
	// stepSettle: outcome.result is the answer if it is still so after a barrier.
	stepSettle
	// stepAgain: a comparison failed; plan again once the copy has reached outcome.rev.
	stepAgain
)

type outcome struct {
	step   step
	result Result
	rev    int64
	found  bool // an earlier try had applied it
}

// finish hands the outcome to the caller.
func (o *op) finish(out outcome) {
	o.outcome = out
	o.done.Store(true)
	if o.call.left.Add(-1) == 0 {
		close(o.call.all)
	}
}
