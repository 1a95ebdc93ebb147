package head

import (
	"context"
	"sync"

	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// barrier makes many readers share one linearizable read of etcd. One round is in flight; who arrives meanwhile joins
// the next one, because the one in flight may have been answered before he arrived.
type barrier struct {
	probe func(context.Context) error
	wake  chan struct{}
	// stopped is closed when run has ended.
	stopped chan struct{}
	metrics *metrics

	mu   sync.Mutex
	next *round
}

type round struct {
	joined int
	done   chan struct{}
	err    error
}

// newBarrier makes a barrier that passes when probe does.
func newBarrier(probe func(context.Context) error, m *metrics) *barrier {
	return &barrier{probe: probe, wake: make(chan struct{}, 1), stopped: make(chan struct{}), metrics: m}
}

// pass returns nil once a round that began after the call has passed. Errors: the round's, the context's, SHUTTING_DOWN.
func (b *barrier) pass(ctx context.Context) error {
	r := b.join()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return fault.FromContext(ctx.Err())
	case <-b.stopped:
		return errStopped()
	}
}

func (b *barrier) join() *round {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		b.next = &round{done: make(chan struct{})}
		b.wake <- struct{}{} // never blocks: run took the last round's token before it took that round
	}
	b.next.joined++
	return b.next
}

// run does the rounds until ctx ends.
func (b *barrier) run(ctx context.Context) error {
	defer close(b.stopped)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-b.wake:
		}
		b.mu.Lock()
		r := b.next
		b.next = nil
		b.mu.Unlock()
		b.metrics.rounds.Inc()
		b.metrics.joins.Add(float64(r.joined))
		r.err = b.probe(ctx)
		close(r.done)
	}
}

func errStopped() error {
	return fault.New(codes.Unavailable, typesv1.Reason_REASON_SHUTTING_DOWN, "this replica of the head has stopped")
}
