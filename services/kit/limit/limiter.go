// Package limit bounds work: Limiter counts operations, Bytes counts memory.
package limit

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// retryAfter is what a refused caller is told to wait: longer than a burst of small requests takes, shorter than a
// person notices.
const retryAfter = 100 * time.Millisecond

// LimiterOptions configure a Limiter.
type LimiterOptions struct {
	// Name is the metrics' `limiter` label, unique in a registerer.
	Name string
	// Slots is how many operations run at once, at least 1.
	Slots int
	// Queue is how many may wait for a slot; 0: none waits.
	Queue int
	// Metrics may be nil.
	Metrics prometheus.Registerer
}

// Limiter gives out slots; a bounded number of callers waits for one, first come, first served. Everybody beyond is
// refused at once: a queue that cannot end in time only makes every caller late.
type Limiter struct {
	name    string
	slots   chan struct{}
	queue   int64
	waiting atomic.Int64
	refused prometheus.Counter
}

// NewLimiter makes a Limiter and registers its metrics. Errors: bad sizes, a name that is registered already.
func NewLimiter(o LimiterOptions) (*Limiter, error) {
	if o.Slots < 1 || o.Queue < 0 {
		return nil, fmt.Errorf("limiter %q: %d slots and a queue of %d: need at least 1 and 0", o.Name, o.Slots, o.Queue)
	}
	labels := prometheus.Labels{"limiter": o.Name}
	l := &Limiter{
		name:  o.Name,
		slots: make(chan struct{}, o.Slots),
		queue: int64(o.Queue),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "drystone_limiter_refused_total", Help: "Operations refused because the queue was full.", ConstLabels: labels,
		}),
	}
	if o.Metrics == nil {
		return l, nil
	}
	return l, register(o.Metrics, o.Name, l.refused,
		gauge("drystone_limiter_in_use", "Slots in use.", labels, func() float64 { return float64(len(l.slots)) }),
		gauge("drystone_limiter_waiting", "Operations that wait for a slot.", labels, func() float64 { return float64(l.waiting.Load()) }),
	)
}

// Acquire takes a slot; whoever gets nil must Release it. It waits for one only while fewer than Queue others wait.
// Errors: RESOURCE_EXHAUSTED/OVERLOADED with a retry delay; DEADLINE_EXCEEDED or CANCELED when ctx ended first.
func (l *Limiter) Acquire(ctx context.Context) error {
	select {
	case l.slots <- struct{}{}:
		return nil
	default:
	}
	if l.waiting.Add(1) > l.queue {
		l.waiting.Add(-1)
		l.refused.Inc()
		return fault.New(codes.ResourceExhausted, typesv1.Reason_REASON_OVERLOADED,
			"%s: %d operations run and %d wait", l.name, cap(l.slots), l.queue).WithRetryAfter(retryAfter)
	}
	defer l.waiting.Add(-1)
	select {
	case l.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fault.FromContext(ctx.Err())
	}
}

// TryAcquire takes a slot if one is free now.
func (l *Limiter) TryAcquire() bool {
	select {
	case l.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

// Release gives a slot back. Releasing more than was acquired is a bug and panics.
func (l *Limiter) Release() {
	select {
	case <-l.slots:
	default:
		panic("limit: release without acquire: " + l.name)
	}
}

func gauge(name, help string, labels prometheus.Labels, value func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, value)
}

func register(r prometheus.Registerer, name string, collectors ...prometheus.Collector) error {
	var errs []error
	for _, c := range collectors {
		errs = append(errs, r.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("register metrics of limiter %q: %w", name, err)
	}
	return nil
}
