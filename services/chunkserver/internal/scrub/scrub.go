// Package scrub verifies what lies on the disks all the time, slowly: each chunk once an interval, at once where a read
// met damage. One chunk at a time on each disk, within a rate.
package scrub

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/drystone-store/drystone/services/chunkserver/internal/chunkfile"
	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/kit/clock"
)

// poll is how often a disk that has nothing due is asked again: damage that a read met is verified within this time.
const poll = 10 * time.Second

// Disk is what the scrubber needs of a disk.
type Disk interface {
	ID() string
	// Usable says that reading the disk makes sense.
	Usable() bool
	// NextScrub is the chunk to verify next and when.
	NextScrub(interval time.Duration) (k format.Key, due time.Time, ok bool)
	// Scrub verifies a chunk; pace may wait before each read.
	Scrub(ctx context.Context, k format.Key, pace func(ctx context.Context, n int64) error) (chunkfile.Findings, error)
}

// Options configure a Scrubber.
type Options struct {
	// Disks are asked for again and again: blank ones come later.
	Disks func() []Disk
	// Interval is the time within which every chunk is verified.
	Interval time.Duration
	// BytesPerSecond is what one disk is read with.
	BytesPerSecond int64
	Log            *slog.Logger
}

// Scrubber verifies disks while Run runs.
type Scrubber struct{ Options }

// New makes a scrubber.
func New(o Options) *Scrubber { return &Scrubber{o} }

// Run works until ctx ends and returns when all its work has.
func (s *Scrubber) Run(ctx context.Context) {
	var working sync.WaitGroup
	defer working.Wait()
	begun := map[string]bool{}
	for ctx.Err() == nil {
		for _, d := range s.Disks() {
			if !begun[d.ID()] {
				begun[d.ID()] = true
				working.Go(func() { s.work(ctx, d) })
			}
		}
		pause(ctx, poll)
	}
}

// work scrubs one disk.
func (s *Scrubber) work(ctx context.Context, d Disk) {
	for ctx.Err() == nil {
		k, due, ok := d.NextScrub(s.Interval)
		if wait := due.Sub(clock.Now()); !ok || wait > 0 || !d.Usable() {
			// Not all disks at the same moment: nodes start together.
			pause(ctx, poll/2+rand.N(poll/2))
			continue
		}
		if _, err := d.Scrub(ctx, k, s.pace); err != nil && ctx.Err() == nil {
			s.Log.Warn("a chunk could not be verified", slog.String("disk", d.ID()), slog.String("chunk", k.String()), slog.Any("error", err))
		}
	}
}

// pace waits as long as n bytes take at the rate.
func (s *Scrubber) pace(ctx context.Context, n int64) error {
	pause(ctx, time.Duration(float64(n)/float64(s.BytesPerSecond)*float64(time.Second)))
	return ctx.Err()
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
