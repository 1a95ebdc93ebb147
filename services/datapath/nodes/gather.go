package nodes

import (
	"context"
	"fmt"
	"sync"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// gather turns gets that come together into few requests: while one is on its way the ids that arrive wait for the
// next. So nobody gets an answer to a request that was sent before he asked.
type gather struct {
	fetch func(ctx context.Context, ids []uint64) ([]*placementv1.Volume, error)

	mu      sync.Mutex
	waiting map[uint64]*lookup
	busy    bool
	tasks   sync.WaitGroup
}

// lookup is one id in one request; done is closed when volume and err are set.
type lookup struct {
	done   chan struct{}
	volume *placementv1.Volume
	err    error
}

func newGather(fetch func(context.Context, []uint64) ([]*placementv1.Volume, error)) *gather {
	return &gather{fetch: fetch, waiting: make(map[uint64]*lookup)}
}

// get returns nil without an error when the answer has no such id.
func (g *gather) get(ctx context.Context, id uint64) (*placementv1.Volume, error) {
	g.mu.Lock()
	l := g.waiting[id]
	if l == nil {
		l = &lookup{done: make(chan struct{})}
		g.waiting[id] = l
	}
	if !g.busy {
		g.busy = true
		// The request serves others too, so it outlives this caller; fetchTimeout bounds it.
		background := context.WithoutCancel(ctx)
		g.tasks.Go(func() { g.drain(background) })
	}
	g.mu.Unlock()
	select {
	case <-l.done:
		return l.volume, l.err
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the map entry of volume %#x: %w", id, fault.FromContext(ctx.Err()))
	}
}

// drain sends requests until nobody waits.
func (g *gather) drain(ctx context.Context) {
	for {
		batch := g.take()
		if batch == nil {
			return
		}
		g.resolve(ctx, batch)
	}
}

// take removes at most batchIDs lookups; when there are none it ends the drain and returns nil.
func (g *gather) take() map[uint64]*lookup {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 {
		g.busy = false
		return nil
	}
	if len(g.waiting) <= batchIDs {
		batch := g.waiting
		g.waiting = make(map[uint64]*lookup)
		return batch
	}
	batch := make(map[uint64]*lookup, batchIDs)
	for id, l := range g.waiting {
		if len(batch) == batchIDs {
			break
		}
		batch[id] = l
		delete(g.waiting, id)
	}
	return batch
}

func (g *gather) resolve(ctx context.Context, batch map[uint64]*lookup) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	ids := make([]uint64, 0, len(batch))
	for id := range batch {
		ids = append(ids, id)
	}
	volumes, err := g.fetch(ctx, ids)
	for _, v := range volumes {
		if l := batch[v.GetId()]; l != nil {
			l.volume = v
		}
	}
	for _, l := range batch {
		l.err = err
		close(l.done)
	}
}

func (g *gather) wait() { g.tasks.Wait() }
