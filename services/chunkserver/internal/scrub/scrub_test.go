package scrub

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drystone-store/drystone/services/chunkserver/internal/chunkfile"
	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
)

// fakeDisk has chunks of 10 MiB; the one that waits longest is next.
type fakeDisk struct {
	mu       sync.Mutex
	verified map[uint64]time.Time
	rounds   map[uint64]int
	suspect  uint64
	fail     error
	down     bool
}

func (d *fakeDisk) ID() string { return "disk-1" }

func (d *fakeDisk) Usable() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.down
}

func (d *fakeDisk) NextScrub(interval time.Duration) (k format.Key, due time.Time, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.suspect != 0 {
		k.Volume, d.suspect = d.suspect, 0
		return k, time.Now(), true
	}
	for v, at := range d.verified {
		if !ok || at.Add(interval).Before(due) {
			k.Volume, due, ok = v, at.Add(interval), true
		}
	}
	return k, due, ok
}

func (d *fakeDisk) Scrub(ctx context.Context, k format.Key, pace func(context.Context, int64) error) (chunkfile.Findings, error) {
	d.mu.Lock()
	d.verified[k.Volume] = time.Now()
	fail := d.fail
	d.mu.Unlock()
	for range 10 {
		if err := pace(ctx, 1<<20); err != nil {
			return chunkfile.Findings{}, err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rounds[k.Volume]++
	return chunkfile.Findings{}, fail
}

func run(t *testing.T, d *fakeDisk, rate int64, work func()) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d.verified, d.rounds = map[uint64]time.Time{1: time.Now(), 2: time.Now()}, map[uint64]int{}
		s := New(Options{
			Disks: func() []Disk { return []Disk{d} }, Interval: 24 * time.Hour, BytesPerSecond: rate,
			Log: slog.New(slog.DiscardHandler),
		})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { s.Run(ctx) })
		work()
		cancel()
		wg.Wait()
	})
}

func TestEachChunkOnceAnInterval(t *testing.T) {
	d := &fakeDisk{}
	run(t, d, 1<<20, func() {
		time.Sleep(10*24*time.Hour + time.Hour)
		d.mu.Lock()
		defer d.mu.Unlock()
		for v, n := range d.rounds {
			if n != 10 {
				t.Errorf("chunk %d was verified %d times in 10 days, want 10", v, n)
			}
		}
	})
}

func TestRate(t *testing.T) {
	d := &fakeDisk{}
	run(t, d, 1<<10, func() { // 10 MiB at 1 KiB/s take 2 h 50 m
		time.Sleep(24*time.Hour + 2*time.Hour)
		d.mu.Lock()
		if d.rounds[1]+d.rounds[2] != 0 {
			t.Error("faster than the rate")
		}
		d.mu.Unlock()
		time.Sleep(2 * time.Hour)
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.rounds[1]+d.rounds[2] != 1 {
			t.Errorf("%v rounds after four hours, want one chunk done", d.rounds)
		}
	})
}

func TestSuspectsComeFirst(t *testing.T) {
	d := &fakeDisk{}
	run(t, d, 1<<30, func() {
		time.Sleep(time.Hour)
		d.mu.Lock()
		d.suspect = 2
		d.mu.Unlock()
		time.Sleep(2 * poll)
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.rounds[2] != 1 || d.rounds[1] != 0 {
			t.Errorf("rounds %v, want the suspect verified at once", d.rounds)
		}
	})
}

func TestFailuresAreNoBusyLoop(t *testing.T) {
	d := &fakeDisk{fail: errors.New("gone")}
	run(t, d, 1<<30, func() {
		time.Sleep(25 * time.Hour)
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.rounds[1] != 1 || d.rounds[2] != 1 {
			t.Errorf("rounds %v", d.rounds)
		}
	})
	down := &fakeDisk{down: true}
	run(t, down, 1<<30, func() {
		time.Sleep(48 * time.Hour)
		down.mu.Lock()
		defer down.mu.Unlock()
		if len(down.rounds) != 0 {
			t.Error("a failed disk was read")
		}
	})
}
