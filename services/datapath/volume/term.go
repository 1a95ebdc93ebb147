package volume

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/fault"
)

const (
	// renewShare: a lease is renewed each third of it, so that two renewals may fail.
	renewShare = 3
	// termMarginShare of a term's length is left for replacing its volumes: 2 minutes of 10.
	termMarginShare = 5

	// termRetryMin and termRetryMax are the waits between tries to reach placement.
	termRetryMin = 100 * time.Millisecond
	termRetryMax = 2 * time.Second
	// termCallTimeout bounds one try.
	termCallTimeout = 3 * time.Second

	// unavailableRetry is what callers are told to wait while placement cannot be reached.
	unavailableRetry = time.Second
)

// term is a span of time in which this writer may open volumes and append to them.
type term struct {
	id uint64
	// due is when the next term should begin, ends when this one does, however often it was renewed.
	due, ends time.Time

	mu sync.Mutex
	// leased is when it ends unless it is renewed.
	leased time.Time
}

// usable says that appends may be made. It only keeps this writer polite: repair may seal what it holds no lease for,
// and fences stop a writer whose clock is wrong.
func (t *term) usable() bool {
	now := clock.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	return now.Before(t.leased) && now.Before(t.ends)
}

func (t *term) renew(until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leased = until
}

// terms keeps a writer in a term.
type terms struct {
	writer    string
	placement placementv1.PlacementServiceClient
	log       *slog.Logger

	// wake makes run look again before its time.
	wake chan struct{}

	mu      sync.Mutex
	current *term
	changed chan struct{}
	// any says that there was one.
	any bool
}

func newTerms(writer string, placement placementv1.PlacementServiceClient, log *slog.Logger) *terms {
	return &terms{
		writer: writer, placement: placement, log: log,
		wake: make(chan struct{}, 1), changed: make(chan struct{}),
	}
}

// run starts terms and renews them until ctx ends.
func (t *terms) run(ctx context.Context) {
	retry := termRetryMin
	for ctx.Err() == nil {
		wait, err := t.step(ctx)
		if err != nil && ctx.Err() == nil {
			t.log.WarnContext(ctx, "term not kept; open volumes go on until its lease ends",
				slog.Any("error", err), slog.Duration("retry_in", retry))
			wait = retry/2 + rand.N(retry/2+1)
			retry = min(2*retry, termRetryMax)
		} else {
			retry = termRetryMin
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-t.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// step starts a term when one is due, else renews the current one, and says when to come again.
func (t *terms) step(ctx context.Context) (time.Duration, error) {
	current := t.latest()
	if current == nil || !clock.Now().Before(current.due) {
		lease, err := t.start(ctx)
		if err == nil || current == nil {
			return lease / renewShare, err
		}
		// The old one still serves; it must not be lost while the next one cannot be had.
		_, renewErr := t.renew(ctx, current)
		if renewErr != nil {
			return 0, fmt.Errorf("%w; %w", err, renewErr)
		}
		return 0, err
	}
	lease, err := t.renew(ctx, current)
	return min(lease/renewShare, max(current.due.Sub(clock.Now()), 0)), err
}

func (t *terms) start(ctx context.Context) (lease time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, termCallTimeout)
	defer cancel()
	begin := clock.Now() // before the call: placement counts from a moment after it
	answer, err := t.placement.StartTerm(ctx, &placementv1.StartTermRequest{Writer: t.writer})
	if err != nil {
		return 0, fmt.Errorf("starting a term: %w", err)
	}
	length := time.Duration(answer.GetLengthMs()) * time.Millisecond
	lease = time.Duration(answer.GetLeaseMs()) * time.Millisecond
	if length <= 0 || lease <= 0 {
		return 0, fault.Bug("placement answered a term of %v with a lease of %v", length, lease)
	}
	t.publish(&term{
		id: answer.GetTerm(), due: begin.Add(length - length/termMarginShare), ends: begin.Add(length),
		leased: begin.Add(lease),
	})
	t.log.InfoContext(ctx, "term began", slog.Uint64("term", answer.GetTerm()))
	return lease, nil
}

func (t *terms) renew(ctx context.Context, current *term) (lease time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, termCallTimeout)
	defer cancel()
	begin := clock.Now()
	answer, err := t.placement.RenewTerm(ctx, &placementv1.RenewTermRequest{Writer: t.writer, Term: current.id})
	if fault.Is(err, typesv1.Reason_REASON_TERM_EXPIRED) {
		t.expire(current)
	}
	if err != nil {
		return 0, fmt.Errorf("renewing term %d: %w", current.id, err)
	}
	lease = time.Duration(answer.GetLeaseMs()) * time.Millisecond
	if lease <= 0 {
		return 0, fault.Bug("placement answered a lease of %v", lease)
	}
	lapsed := !current.usable()
	current.renew(begin.Add(lease))
	if lapsed {
		t.publish(current) // some may wait for a usable one
	}
	return lease, nil
}

// expire gives a term up that placement does not know any more, and asks for another one.
func (t *terms) expire(gone *term) {
	gone.renew(time.Time{})
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current == gone {
		t.current = nil
	}
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

func (t *terms) publish(next *term) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.current, t.any = next, true
	close(t.changed)
	t.changed = make(chan struct{})
}

// begun says that there was a term once.
func (t *terms) begun() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.any
}

// latest is the newest term, usable or not; nil when there is none.
func (t *terms) latest() *term {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.current
}

// wait returns a usable term, once there is one. Errors: UNAVAILABLE when ctx ends first.
func (t *terms) wait(ctx context.Context) (*term, error) {
	for {
		t.mu.Lock()
		current, changed := t.current, t.changed
		t.mu.Unlock()
		if current != nil && current.usable() {
			return current, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fault.Wrap(ctx.Err(), codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE,
				"placement grants no term").WithRetryAfter(unavailableRetry)
		}
	}
}
