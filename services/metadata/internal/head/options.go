package head

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/log"
)

// Options configure an index. The zero value works.
type Options struct {
	// WindowAge is how long writes are remembered for later tries; 10 minutes unless set. It must exceed the time in
	// which callers try again.
	WindowAge time.Duration
	// WindowEntries bounds the same memory, at about 150 bytes each; 256 Ki unless set.
	WindowEntries int
	// TombstoneRetention is how long a tombstone stays; 15 minutes unless set. Tries of a delete are recognized so long.
	TombstoneRetention time.Duration
	// Observe is told every version that is seen (hlc.Clock.Observe). Quick; may be called from any goroutine.
	Observe func(version uint64)
	// Name tells this replica from others in what it writes about itself (the clock and compactor rows).
	Name string
	// Ready is told whether the copy follows etcd; nil: nobody is.
	Ready func(bool)

	Log     *slog.Logger
	Metrics prometheus.Registerer
	// Now is wall time; kit/clock.Now unless set.
	Now func() time.Time
}

const (
	defaultWindowAge     = 10 * time.Minute
	defaultWindowEntries = 1 << 18
	defaultRetention     = 15 * time.Minute
)

func (o Options) withDefaults() Options {
	if o.WindowAge == 0 {
		o.WindowAge = defaultWindowAge
	}
	if o.WindowEntries == 0 {
		o.WindowEntries = defaultWindowEntries
	}
	if o.TombstoneRetention == 0 {
		o.TombstoneRetention = defaultRetention
	}
	if o.Observe == nil {
		o.Observe = func(uint64) {}
	}
	if o.Ready == nil {
		o.Ready = func(bool) {}
	}
	if o.Log == nil {
		o.Log = log.Discard()
	}
	if o.Metrics == nil {
		o.Metrics = prometheus.NewRegistry()
	}
	if o.Now == nil {
		o.Now = clock.Now
	}
	return o
}
