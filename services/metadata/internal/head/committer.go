package head

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

const (
	// maxFlying is how many transactions of this replica are in flight. One is the measured best: the next one gathers
	// meanwhile, so it is as large as the load makes it, and a lone write goes at once.
	maxFlying = 1
	// maxUnseen is how many more may have been answered before the copy has seen them: far beyond any lag but that of a
	// broken watch, and then writing on would only pile up.
	maxUnseen = 64
	// maxPending bounds the writes that wait here, some seconds of work; beyond it callers hear OVERLOADED.
	maxPending = 1 << 14
)

// committer gathers writes into transactions. The state below `stopped` is its loop's alone.
type committer struct {
	table   *table
	send    func(context.Context, *batch) (rev int64) // sends a batch, finishes its writes; 0: no answer
	seen    func(context.Context, int64) error        // waits until the copy has a revision
	queue   chan *op
	pending atomic.Int64
	stopped chan struct{} // closed when run has ended: nothing in the queue will be answered

	landed  chan struct{}    // a transaction was answered or given up
	settled chan *batch      // the copy has what became of it
	batch   *batch           // gathers
	ready   []*op            // their row is free again; before the queue's turn
	busy    map[string][]*op // rows in a batch that has not settled → writes that wait for them, in order
	flying  int
	unseen  int
}

func newCommitter(t *table, send func(context.Context, *batch) int64, seen func(context.Context, int64) error) *committer {
	return &committer{
		table: t, send: send, seen: seen,
		queue:   make(chan *op, maxPending),
		stopped: make(chan struct{}),
		landed:  make(chan struct{}, maxFlying),
		settled: make(chan *batch),
		batch:   newBatch(), busy: make(map[string][]*op),
	}
}

// do tries each op once and returns when all are answered. Errors: OVERLOADED with nothing tried; the context's or
// SHUTTING_DOWN, when ops that are not done may still be on their way.
func (c *committer) do(ctx context.Context, ops []*op) error {
	if c.pending.Add(int64(len(ops))) > maxPending {
		c.pending.Add(-int64(len(ops)))
		return fault.New(codes.Unavailable, typesv1.Reason_REASON_OVERLOADED, "%d writes wait already", maxPending).
			WithRetryAfter(retryAfter)
	}
	call := newCall(ctx, len(ops))
	for _, o := range ops {
		o.call = call
		o.done.Store(false)
		c.queue <- o // has room: pending counts no less than what is in it
	}
	select {
	case <-call.all:
		return nil
	case <-ctx.Done():
		return fault.FromContext(ctx.Err())
	case <-c.stopped:
		return errStopped()
	}
}

// finish hands an outcome to the write's caller.
func (c *committer) finish(o *op, out outcome) {
	c.pending.Add(-1)
	o.finish(out)
}

// run gathers and sends until ctx ends, and waits for what it sent.
func (c *committer) run(ctx context.Context) error {
	var senders sync.WaitGroup
	defer close(c.stopped)
	defer senders.Wait()
	if c.seen(ctx, 1) != nil { // there is no planning before the first load
		return nil
	}
	for {
		queue := c.queue
		if c.batch.full() {
			queue = nil // backpressure: callers wait in the queue
		}
		select {
		case <-ctx.Done():
			return nil
		case o := <-queue:
			c.admit(o)
		case <-c.landed:
			c.flying--
		case b := <-c.settled:
			c.unseen--
			c.release(b)
		}
		c.fill()
		for len(c.batch.ops) > 0 && c.flying < maxFlying && c.unseen < maxUnseen {
			if b := c.take(); len(b.ops) > 0 {
				c.flying++
				c.unseen++
				senders.Go(func() { c.fly(ctx, b) })
			}
			c.fill()
		}
	}
}

// fly sends a batch and reports first its landing, then its being seen.
func (c *committer) fly(ctx context.Context, b *batch) {
	rev := c.send(ctx, b)
	c.landed <- struct{}{}
	if rev > 0 && c.seen(ctx, rev) != nil {
		return // ctx has ended, and with it the loop
	}
	select {
	case c.settled <- b:
	case <-ctx.Done():
	}
}

// fill takes what waits, as far as it fits.
func (c *committer) fill() {
	for !c.batch.full() {
		if len(c.ready) > 0 {
			o := c.ready[0]
			c.ready = c.ready[1:]
			c.admit(o)
			continue
		}
		select {
		case o := <-c.queue:
			c.admit(o)
		default:
			return
		}
	}
}

// admit plans a write and puts it into the batch, behind the other writes of its row, or back to its caller.
func (c *committer) admit(o *op) {
	if o.call.abandoned() {
		c.finish(o, outcome{result: Result{Err: fault.FromContext(context.Canceled)}})
		return
	}
	if c.waits(o, o.write.Key) {
		return
	}
	var d decision
	c.table.view(func(s *state) {
		if o.since == 0 {
			o.since = s.applied // a first try: from here on
		}
		d = s.decide(o.write, o.since)
	})
	switch d.verdict {
	case verdictChange:
		o.change = d.change
		c.join(o)
	case verdictAsIs:
		step := stepSettle
		if o.settled {
			step = stepFinal
		}
		c.finish(o, outcome{step: step, result: d.result})
	case verdictApplied:
		c.finish(o, outcome{result: d.result, found: true})
	case verdictUnknown:
		c.finish(o, outcome{result: d.result})
	}
}

// waits queues a write behind the batch that changes a row, if there is one.
func (c *committer) waits(o *op, key string) bool {
	waiting, busy := c.busy[key]
	if busy {
		c.busy[key] = append(waiting, o)
	}
	return busy
}

// join puts a planned write into the batch, unless one of its rows is busy. A batch of another epoch than the write's is
// planned anew: what it compares as absent may have come and gone (constraint 5).
func (c *committer) join(o *op) {
	for key := range o.change.keys() {
		if c.waits(o, key) {
			return
		}
	}
	if !c.batch.fits(&o.change) {
		c.batch.closed = true
		c.ready = append([]*op{o}, c.ready...)
		return
	}
	if len(c.batch.ops) > 0 && c.batch.epoch != o.change.epoch {
		old := c.batch
		c.batch = newBatch()
		c.release(old)
		c.ready = append(append(old.ops, o), c.ready...)
		return
	}
	c.batch.add(o)
	for key := range o.change.keys() {
		c.busy[key] = nil
	}
}

// release lets the writes go on that waited for a batch's rows.
func (c *committer) release(b *batch) {
	for _, o := range b.ops {
		c.free(o)
	}
}

// free does so for one write's rows.
func (c *committer) free(o *op) {
	for key := range o.change.keys() {
		c.ready = append(c.ready, c.busy[key]...)
		delete(c.busy, key)
	}
}

// take returns the gathered batch without the writes whose callers have left, and begins another.
func (c *committer) take() *batch {
	b := c.batch
	c.batch = newBatch()
	b.ops = slices.DeleteFunc(b.ops, func(o *op) bool {
		if !o.call.abandoned() {
			return false
		}
		c.free(o)
		c.finish(o, outcome{result: Result{Err: fault.FromContext(context.Canceled)}})
		return true
	})
	return b
}
