package object

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/limit"
)

// Limits bound what runs at once. Each kind of work has its own bound, so that slow uploads cannot keep listings out.
type Limits struct {
	// Puts, Gets and Lists run at once at most; Others are deletes, stats and everything about buckets.
	Puts, Gets, Lists, Others int
	// Queue is how many of each kind may wait for their turn.
	Queue int
	// Wait is how long one may wait.
	Wait time.Duration
	// BodyMemory is the budget of all uploads' buffers, in bytes.
	BodyMemory int64
}

// Gates are the bulkheads of a front-door.
type Gates struct {
	puts, gets, lists, others gate
	memory                    *limit.Bytes
	wait                      time.Duration
}

// retryAfter is what a caller is told who waited in vain: the queue was not short-lived then.
const retryAfter = time.Second

// NewGates makes the bulkheads and registers their metrics. Errors: limits below 1, metrics that exist already.
func NewGates(l Limits, metrics prometheus.Registerer) (*Gates, error) {
	g := &Gates{wait: l.Wait}
	var errs []error
	for _, kind := range []struct {
		name  string
		slots int
		gate  *gate
	}{
		{"puts", l.Puts, &g.puts}, {"gets", l.Gets, &g.gets}, {"lists", l.Lists, &g.lists}, {"others", l.Others, &g.others},
	} {
		limiter, err := limit.NewLimiter(limit.LimiterOptions{
			Name: "frontdoor_" + kind.name, Slots: kind.slots, Queue: l.Queue, Metrics: metrics,
		})
		*kind.gate = gate{name: kind.name, limiter: limiter, wait: l.Wait}
		errs = append(errs, err)
	}
	var err error
	g.memory, err = limit.NewBytes(limit.BytesOptions{Name: "frontdoor_bodies", Budget: l.BodyMemory, Metrics: metrics})
	return g, errors.Join(append(errs, err)...)
}

// Others is the gate of work that is none of this package's.
func (g *Gates) Others(ctx context.Context, work func() error) error {
	if err := g.others.enter(ctx); err != nil {
		return err
	}
	defer g.others.leave()
	return work()
}

// takeMemory takes n bytes of the budget; who gets nil gives them back by memory.Release.
// Errors: OVERLOADED after the bounded wait.
func (g *Gates) takeMemory(ctx context.Context, n int64) error {
	if g.memory.TryAcquire(n) {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, g.wait)
	defer cancel()
	if err := g.memory.Acquire(waiting, n); err != nil {
		return overloaded(ctx, err, "the memory for uploads is in use")
	}
	return nil
}

// gate bounds one kind of work.
type gate struct {
	name    string
	limiter *limit.Limiter
	wait    time.Duration
}

// enter takes a slot, or fails with OVERLOADED when none comes free in time; who gets nil must leave.
func (g *gate) enter(ctx context.Context) error {
	if g.limiter.TryAcquire() {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, g.wait)
	defer cancel()
	if err := g.limiter.Acquire(waiting); err != nil {
		return overloaded(ctx, err, "too many "+g.name+" are in flight")
	}
	return nil
}

func (g *gate) leave() { g.limiter.Release() }

// overloaded tells our own bounded wait from the end of the caller's patience.
func overloaded(ctx context.Context, err error, why string) error {
	if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fault.Wrap(err, codes.Unavailable, typesv1.Reason_REASON_OVERLOADED, "%s", why).WithRetryAfter(retryAfter)
}
