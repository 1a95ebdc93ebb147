// Package breaker stops calls to a peer that does not serve them, one breaker per peer and class of operation.
//
// Constraints:
//
//  1. Judge is the only table of what speaks against a peer.
//  2. An answer that is the caller's fault, a cancelled call and a peer that sheds load never open a breaker.
//  3. Every Allow that succeeds is followed by exactly one done: a probe that never reports would keep the breaker
//     half open for ever.
package breaker

import (
	"errors"
	"time"

	"github.com/sony/gobreaker/v2"
	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

const (
	// window is how far back failures count; in buckets, so that it slides.
	window = 10 * time.Second
	bucket = time.Second
	// openFor is how long a peer is left alone before one call probes it: a restarted peer is back in about a second.
	openFor = time.Second
	// failuresInRow opens at once: a dead peer answers nothing at all.
	failuresInRow = 5
	// callsJudged and failureShare open on a peer that fails often but not always; fewer calls prove nothing.
	callsJudged  = 20
	failureShare = 0.5
	// probes is how many calls a half-open breaker lets through at a time, and how many must succeed to close it.
	probes = 1
)

// State of a breaker, as the metric shows it: 0 closed, 1 half-open, 2 open.
type State = gobreaker.State

// Options configure a Breaker.
type Options struct {
	// Peer and Class name it in errors.
	Peer, Class string
	// OnChange may be nil; it is called under the breaker's lock and must not block.
	OnChange func(from, to State)
}

// Breaker guards calls of one class to one peer.
type Breaker struct {
	peer, class string
	inner       *gobreaker.TwoStepCircuitBreaker[struct{}]
}

// New makes a closed breaker.
func New(o Options) *Breaker {
	settings := gobreaker.Settings{
		Name:         o.Peer,
		MaxRequests:  probes,
		Interval:     window,
		BucketPeriod: bucket,
		Timeout:      openFor,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			if c.ConsecutiveFailures >= failuresInRow {
				return true
			}
			judged := c.TotalSuccesses + c.TotalFailures
			return judged >= callsJudged && float64(c.TotalFailures) >= failureShare*float64(judged)
		},
		IsSuccessful: func(err error) bool { return Judge(err) != Failure },
		IsExcluded:   func(err error) bool { return Judge(err) == Ignored },
	}
	if o.OnChange != nil {
		settings.OnStateChange = func(_ string, from, to gobreaker.State) { o.OnChange(from, to) }
	}
	return &Breaker{peer: o.Peer, class: o.Class, inner: gobreaker.NewTwoStepCircuitBreaker[struct{}](settings)}
}

// Allow asks for one call. On nil error the caller must call done exactly once with what the peer answered (see
// Judge). Otherwise the call must not be made: UNAVAILABLE/BREAKER_OPEN with a retry delay.
func (b *Breaker) Allow() (done func(error), err error) {
	done, err = b.inner.Allow()
	if err == nil {
		return done, nil
	}
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return nil, fault.New(codes.Unavailable, typesv1.Reason_REASON_BREAKER_OPEN,
			"%s did not serve %s lately; it is tried again soon", b.peer, b.class).WithRetryAfter(openFor)
	}
	return nil, fault.Bug("breaker of %s %s: %w", b.peer, b.class, err)
}

// State is the state now.
func (b *Breaker) State() State { return b.inner.State() }
