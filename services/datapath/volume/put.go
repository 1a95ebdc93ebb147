package volume

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

const (
	// hedgeLeast and hedgeMedians: an append that is not whole within the longer of 50 ms and 8 medians also goes to
	// the standby. About one batch in nine meets some disk's p99; a standby rarely does at the same moment.
	hedgeLeast   = 50 * time.Millisecond
	hedgeMedians = 8
	// hedgeShare of all appends may be hedged, and hedgeBurst in a row: hedging must not double the load of disks that
	// are slow because they are busy.
	hedgeShare = 0.05
	hedgeBurst = 8

	// putAttempts bounds how often one load is appended: each try but the last ended its volume.
	putAttempts = 6
	// shedBackoff is the first wait after a member shed load; it doubles.
	shedBackoff = 50 * time.Millisecond
)

// errEmpty says that a load has nothing left to append.
var errEmpty = errors.New("nothing to append")

// hedgeBudget gives out hedges in proportion to appends. Its zero value has none; it is safe for concurrent use.
type hedgeBudget struct {
	mu    sync.Mutex
	saved float64
}

func (b *hedgeBudget) earn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.saved = min(b.saved+hedgeShare, hedgeBurst)
}

func (b *hedgeBudget) spend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.saved < 1 {
		return false
	}
	b.saved--
	return true
}

// put makes a load durable in some volume of the lane, moving on from volumes that fail or fill up. first may hold the
// flight of an append that was made already. Errors: those of open; errUnfit; UNAVAILABLE when volume after volume
// failed; ctx's, and then the bytes may be durable, though nobody will name them.
func (l *lane) put(ctx context.Context, ld load, first *flight) (*flight, error) {
	f, backoff := first, shedBackoff
	for attempt := 1; ; attempt++ {
		var err error
		if f == nil {
			f, err = l.append(ctx, ld)
		}
		if err == nil {
			l.w.hedges.earn()
			f, err = l.await(ctx, ld, f)
		}
		if err == nil {
			return f, nil
		}
		if !movable(err) {
			return nil, err
		}
		if attempt == putAttempts {
			return nil, exhausted(err)
		}
		f = nil
		if blame(err) != scopeNobody {
			continue
		}
		timer := time.NewTimer(double(&backoff))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, gaveUp(ctx)
		}
	}
}

// append sends a load to the lane's active volume, to the next one when that takes no more.
func (l *lane) append(ctx context.Context, ld load) (*flight, error) {
	for {
		v, err := l.current(ctx)
		if err != nil {
			return nil, err
		}
		f, err := v.append(ctx, ld)
		if err == nil || !errors.Is(err, errMoved) {
			return f, err
		}
	}
}

// await waits until a flight is durable, or a second one of the same load in the standby: a stall must cost a moment,
// not a second.
func (l *lane) await(ctx context.Context, ld load, f *flight) (*flight, error) {
	timer := time.NewTimer(l.w.hedgeDelay(l.key.class))
	defer timer.Stop()
	select {
	case <-f.done:
		return f, f.err
	case <-ctx.Done():
		return nil, gaveUp(ctx)
	case <-timer.C:
	}
	second := l.hedge(ld, f.volume)
	if second == nil {
		select {
		case <-f.done:
			return f, f.err
		case <-ctx.Done():
			return nil, gaveUp(ctx)
		}
	}
	return l.race(ctx, f, second)
}

// race waits for the first flight that is durable, or for both to fail.
func (l *lane) race(ctx context.Context, first, second *flight) (*flight, error) {
	class := className(l.key.class)
	firstDone, secondDone := first.done, second.done
	for {
		select {
		case <-firstDone:
			if first.err == nil {
				l.w.metrics.hedges.WithLabelValues(class, "lost").Inc()
				return first, nil
			}
			firstDone = nil
		case <-secondDone:
			if second.err == nil {
				l.w.metrics.hedges.WithLabelValues(class, "won").Inc()
				l.prefer(second.volume)
				return second, nil
			}
			secondDone = nil
		case <-ctx.Done():
			return nil, gaveUp(ctx)
		}
		if firstDone == nil && secondDone == nil {
			return nil, second.err
		}
	}
}

// hedge appends a load to the standby as well, if there is one and the budget allows; nil if not.
func (l *lane) hedge(ld load, slow *openVolume) *flight {
	v := l.other(slow)
	if v == nil || !l.w.hedges.spend() {
		return nil
	}
	f, err := v.tryAppend(ld)
	if err != nil {
		return nil // a hedge is a chance, nothing depends on it
	}
	return f
}

// movable says that a load may succeed in another volume: its own failed, or was full.
func movable(err error) bool {
	var f *flightError
	return errors.As(err, &f)
}

// flightError is why an append is not durable: its volume failed.
type flightError struct {
	volume uint64
	cause  error
}

func (e *flightError) Error() string {
	return fmt.Sprintf("appending to volume %#x: %v", e.volume, e.cause)
}

func (e *flightError) Unwrap() error { return e.cause }

// exhausted is what callers are told: that no volume took the bytes, not what one disk said.
func exhausted(err error) error {
	return fault.Wrap(err, codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE,
		"volume after volume failed").WithRetryAfter(openRetryAfter)
}

func gaveUp(ctx context.Context) error {
	return fmt.Errorf("waiting for an append to be durable: %w", fault.FromContext(ctx.Err()))
}
