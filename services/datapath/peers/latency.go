package peers

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// latencySamples is how far back Latency looks: enough that one slow sync does not move the median, few enough
	// that it follows a change of load within a second.
	latencySamples = 64
	// latencyStep is after how many samples the median is computed again; sorting for each one would cost more than
	// sending a frame.
	latencyStep = 8
)

// Latency keeps the median of recent durations. Its zero value is ready; it is safe for concurrent use.
type Latency struct {
	median atomic.Int64

	mu      sync.Mutex
	samples [latencySamples]time.Duration
	seen    int
}

// Observe takes in one duration.
func (l *Latency) Observe(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.samples[l.seen%latencySamples] = d
	l.seen++
	// The first ones count at once, so that a cold writer knows its disks after one append.
	if l.seen > latencyStep && l.seen%latencyStep != 0 {
		return
	}
	sorted := l.samples
	recent := sorted[:min(l.seen, latencySamples)]
	slices.Sort(recent)
	l.median.Store(int64(recent[len(recent)/2]))
}

// Median is 0 before the first Observe.
func (l *Latency) Median() time.Duration { return time.Duration(l.median.Load()) }
