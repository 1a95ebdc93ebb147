// Package hlc mints version stamps from a hybrid logical clock.
//
// A version is 64 bits: 44 of unix milliseconds, 12 of a logical counter, 8 of the region that minted it. Versions order
// the writes of one key; the milliseconds in them are for people (last-modified), no decision of safety reads them.
//
// Constraints:
//
//  1. A clock never mints the same version twice nor a lower one after a higher one, whatever wall time does.
//  2. What it mints is above everything it observed, but for stamps further ahead of wall time than MaxAhead: those are
//     parked, that is ignored, so that one wrong clock somewhere does not drag every clock with it.
//  3. A version above a given one is refused rather than minted if it had to lie further ahead than MaxAhead.
package hlc

import (
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

const (
	// MaxAhead is how far a stamp may lie ahead of this process's wall time. Clocks that differ by more are broken, not
	// skewed: NTP keeps machines within seconds.
	MaxAhead = time.Hour

	regionBits  = 8
	logicalBits = 12
)

// Version packs a stamp: unix milliseconds (44 bits), logical counter (12 bits), region.
func Version(ms int64, logical uint16, region uint8) uint64 {
	return uint64(ms)<<(logicalBits+regionBits) | uint64(logical&(1<<logicalBits-1))<<regionBits | uint64(region)
}

// Millis is the unix time in milliseconds inside a version.
func Millis(version uint64) int64 { return int64(version >> (logicalBits + regionBits)) }

// Clock mints versions. Safe for concurrent use.
type Clock struct {
	now    func() time.Time
	region uint8

	mu   sync.Mutex
	last uint64 // highest stamp minted or observed: a version without its region
}

// New makes a clock over wall time (kit/clock.Now outside of tests).
func New(now func() time.Time, region uint8) *Clock {
	return &Clock{now: now, region: region}
}

// Observe lifts the clock above a version that somebody minted, unless it is parked (constraint 2).
func (c *Clock) Observe(version uint64) {
	stamp := version >> regionBits
	c.mu.Lock()
	defer c.mu.Unlock()
	if stamp > c.last && stamp <= c.limit() {
		c.last = stamp
	}
}

// Mint returns a version above `above`, above everything observed and above everything minted before. It fails with
// UNAVAILABLE if `above` is so far ahead of wall time that the new version had to be, too.
func (c *Clock) Mint(above uint64) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	stamp := uint64(c.now().UnixMilli()) << logicalBits
	stamp = max(stamp, c.last+1, above>>regionBits+1)
	if stamp > c.limit() {
		return 0, fault.New(codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE,
			"the key's last version or this service's clock is more than %s ahead of wall time", MaxAhead)
	}
	c.last = stamp
	return stamp<<regionBits | uint64(c.region), nil
}

// limit is the highest stamp that is not too far ahead. Callers hold mu.
func (c *Clock) limit() uint64 {
	return uint64(c.now().Add(MaxAhead).UnixMilli()) << logicalBits
}
