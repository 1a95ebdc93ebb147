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
	total int64
	// reserved is what others have of the total for good; it is taken of sem.
	reserved atomic.Int64
	sem      *semaphore.Weighted
	used     atomic.Int64
	queued   atomic.Int64
	// parent counts what is used here in its metrics as well; nil for a budget that was not reserved of another.
	parent *Bytes
}

// NewBytes makes a budget and registers its metrics. Errors: no budget, a name that is registered already.
func NewBytes(o BytesOptions) (*Bytes, error) {
	if o.Budget < 1 {
		return nil, fmt.Errorf("byte budget %q: %d bytes: need at least 1", o.Name, o.Budget)
	}
	b := &Bytes{total: o.Budget, sem: semaphore.NewWeighted(o.Budget)}
	if o.Metrics == nil {
		return b, nil
	}
	labels := prometheus.Labels{"limiter": o.Name}
	return b, register(o.Metrics, o.Name,
		gauge("drystone_byte_budget_bytes", "The budget.", labels, func() float64 { return float64(b.total) }),
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
		b.queue(1)
		err := b.sem.Acquire(ctx, n)
		b.queue(-1)
		if err != nil {
			return fault.FromContext(err)
		}
	}
	b.count(n)
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
	b.count(n)
	return true
}

// Release gives back what an Acquire of the same n took. Releasing more than is held is a bug and panics.
func (b *Bytes) Release(n int64) {
	n = b.clamp(n)
	if n == 0 {
		return
	}
	b.count(-n)
	b.sem.Release(n)
}

// Reserve splits n bytes off for good and returns a budget of them: who draws on it never waits behind those who draw on
// the rest. The metrics show both as one. Call it before the budget is used. Errors: not more than n bytes are free.
func (b *Bytes) Reserve(n int64) (*Bytes, error) {
	if n < 1 || n >= b.Budget() || !b.sem.TryAcquire(n) {
		return nil, fmt.Errorf("reserving %d of %d bytes: no such part of the budget is free", n, b.Budget())
	}
	b.reserved.Add(n)
	return &Bytes{total: n, sem: semaphore.NewWeighted(n), parent: b}, nil
}

// Budget is the number of bytes that can be had: what was configured, less what was reserved of it.
func (b *Bytes) Budget() int64 { return b.total - b.reserved.Load() }

func (b *Bytes) clamp(n int64) int64 { return max(0, min(n, b.Budget())) }

func (b *Bytes) count(n int64) {
	for ; b != nil; b = b.parent {
		b.used.Add(n)
	}
}

func (b *Bytes) queue(n int64) {
	for ; b != nil; b = b.parent {
		b.queued.Add(n)
	}
}
