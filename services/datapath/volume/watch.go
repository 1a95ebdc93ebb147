package volume

import (
	"math/bits"
	"time"

	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/fault"
)

const (
	// A volume is given up when the oldest append on its way misses an answer for a second. Ticks are counted, so that
	// a writer which was stopped itself does not blame its disks.
	stallTick  = 200 * time.Millisecond
	stallTicks = 5
)

// armWatch begins to look for stalls, unless the timer runs still: most appends take less than a tick. mu is held.
func (v *openVolume) armWatch() {
	v.quiet, v.watched = 0, nil
	if v.watch == nil {
		v.watch = time.AfterFunc(stallTick, v.tick)
	} else if !v.ticking {
		v.watch.Reset(stallTick)
	}
	v.ticking = true
}

// tick fails the volume when its oldest flight has missed the same answer for too long.
func (v *openVolume) tick() {
	v.mu.Lock()
	if len(v.flights) == 0 {
		v.ticking = false
		v.mu.Unlock()
		return
	}
	head := v.flights[0]
	if head != v.watched {
		v.watched, v.quiet = head, 0
	}
	v.quiet++
	if v.quiet <= stallTicks {
		v.watch.Reset(stallTick)
		v.mu.Unlock()
		return
	}
	silent := head.missing()
	v.mu.Unlock()
	v.fail(fault.New(codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE,
		"%d of %d members answered nothing for %v", len(silent), v.scheme.N(), stallTick*stallTicks), silent...)
}

// late lists the columns that the oldest flight has been missing for half the time that makes a stall. mu is held.
func (v *openVolume) late() []int {
	if len(v.flights) == 0 || clock.Since(v.flights[0].begin) < stallTick*stallTicks/2 {
		return nil
	}
	return v.flights[0].missing()
}

// missing lists the columns that have not answered. The volume's mu is held.
func (f *flight) missing() []int {
	var columns []int
	for rest := f.waiting; rest != 0; rest &= rest - 1 {
		columns = append(columns, bits.TrailingZeros64(rest))
	}
	return columns
}
