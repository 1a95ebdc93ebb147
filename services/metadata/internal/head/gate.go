package head

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/drystone-store/drystone/services/kit/fault"
)

// gate lets callers wait until the copy has applied a revision.
type gate struct {
	applied atomic.Int64
	mu      sync.Mutex
	waiting []waiter // few: one barrier, and the batches whose answers were faster than the watch
}

type waiter struct {
	rev    int64
	opened chan struct{}
}

// advance opens the gate up to rev. It never closes again.
func (g *gate) advance(rev int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if rev <= g.applied.Load() {
		return
	}
	g.applied.Store(rev)
	still := g.waiting[:0]
	for _, w := range g.waiting {
		if w.rev <= rev {
			close(w.opened)
		} else {
			still = append(still, w)
		}
	}
	clear(g.waiting[len(still):])
	g.waiting = still
}

// wait returns once rev is applied. Errors: the context's.
func (g *gate) wait(ctx context.Context, rev int64) error {
	if g.applied.Load() >= rev {
		return nil
	}
	w := waiter{rev: rev, opened: make(chan struct{})}
	g.mu.Lock()
	if g.applied.Load() >= rev {
		g.mu.Unlock()
		return nil
	}
	g.waiting = append(g.waiting, w)
	g.mu.Unlock()
	select {
	case <-w.opened:
		return nil
	case <-ctx.Done():
		g.forget(w)
		return fault.FromContext(ctx.Err())
	}
}

func (g *gate) forget(w waiter) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.waiting {
		if g.waiting[i].opened == w.opened {
			last := len(g.waiting) - 1
			g.waiting[i] = g.waiting[last]
			g.waiting[last] = waiter{}
			g.waiting = g.waiting[:last]
			return
		}
	}
}
