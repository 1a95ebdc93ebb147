package limit

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"github.com/drystone-store/drystone/services/kit/fault"
)

// BytesOptions configure a Bytes.
type BytesOptions struct {
	// Name is the metrics' `limiter` label, unique in a registerer.
	Name string
	// Budget in bytes, at least 1.
	Budget int64
	// Metrics may be nil.
	Metrics prometheus.Registerer
}

// Bytes is a budget of memory. Who asks waits in line: a large request is not overtaken by small ones for ever.
//
// A request above the whole budget is *clamped* to it: it waits until it is alone and then runs. Refusing it would turn
// a small configured budget into a permanent error that no retry heals. So the budget may be overrun by one such
// request, never by two.
type Bytes struct {
	budget int64
	sem    *semaphore.Weighted
	used   atomic.Int64
	queued atomic.Int64
}

// NewBytes makes a budget and registers its metrics. Errors: no budget, a name that is registered already.
func NewBytes(o BytesOptions) (*Bytes, error) {
	if o.Budget < 1 {
		return nil, fmt.Errorf("byte budget %q: %d bytes: need at least 1", o.Name, o.Budget)
	}
	b := &Bytes{budget: o.Budget, sem: semaphore.NewWeighted(o.Budget)}
	if o.Metrics == nil {
		return b, nil
	}
	labels := prometheus.Labels{"limiter": o.Name}
	return b, register(o.Metrics, o.Name,
		gauge("drystone_byte_budget_bytes", "The budget.", labels, func() float64 { return float64(b.budget) }),
		gauge("drystone_byte_budget_used_bytes", "Bytes given out.", labels, func() float64 { return float64(b.used.Load()) }),
		gauge("drystone_byte_budget_waiting", "Requests that wait for bytes.", labels, func() float64 { return float64(b.queued.Load()) }),
	)
}

// Acquire takes n bytes, waiting in line for them. Errors: DEADLINE_EXCEEDED or CANCELED when ctx ended first; nothing
// is held then. Zero and negative n take nothing.
func (b *Bytes) Acquire(ctx context.Context, n int64) error {
	n = b.clamp(n)
	if n == 0 {
		return nil
	}
	if !b.sem.TryAcquire(n) {
		b.queued.Add(1)
		err := b.sem.Acquire(ctx, n)
		b.queued.Add(-1)
		if err != nil {
			return fault.FromContext(err)
		}
	}
	b.used.Add(n)
	return nil
}

// TryAcquire takes n bytes if they are free now and nobody waits.
func (b *Bytes) TryAcquire(n int64) bool {
	n = b.clamp(n)
	if n == 0 {
		return true
	}
	if !b.sem.TryAcquire(n) {
		return false
	}
	b.used.Add(n)
	return true
}

// Release gives back what an Acquire of the same n took. Releasing more than is held is a bug and panics.
func (b *Bytes) Release(n int64) {
	n = b.clamp(n)
	if n == 0 {
		return
	}
	b.used.Add(-n)
	b.sem.Release(n)
}

// Budget is the configured number of bytes.
func (b *Bytes) Budget() int64 { return b.budget }

func (b *Bytes) clamp(n int64) int64 { return max(0, min(n, b.budget)) }
