package head

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// metrics of one replica of the head.
type metrics struct {
	commits  *prometheus.CounterVec // by outcome
	batches  prometheus.Histogram
	rounds   prometheus.Counter
	joins    prometheus.Counter
	retries  *prometheus.CounterVec // by cause
	resolved prometheus.Counter
	lag      prometheus.Histogram
	reloads  prometheus.Counter
	purged   prometheus.Counter
	compacts prometheus.Counter
}

const (
	outcomeApplied = "applied"
	outcomeRefused = "refused"
	outcomeUnknown = "unknown"
	outcomeFailed  = "failed"

	causeConflict = "conflict" // a comparison failed: planned again
	causeSilence  = "silence"  // no answer: the same transaction again
)

func newMetrics(r prometheus.Registerer, t *table) (*metrics, error) {
	m := &metrics{
		commits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drystone_metadata_commits_total", Help: "Writes by what became of them.",
		}, []string{"outcome"}),
		batches: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "drystone_metadata_batch_writes", Help: "Writes in one etcd transaction.",
			Buckets: []float64{1, 2, 4, 8, 16, 32, 64, maxBatchWrites},
		}),
		rounds: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "drystone_metadata_barrier_rounds_total", Help: "Linearizable reads of the clock row.",
		}),
		joins: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "drystone_metadata_barrier_joins_total", Help: "Reads that shared those rounds.",
		}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drystone_metadata_retries_total", Help: "Writes planned again (conflict), transactions sent again (silence).",
		}, []string{"cause"}),
		resolved: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "drystone_metadata_resolved_total", Help: "Writes found applied by an earlier try.",
		}),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "drystone_metadata_watch_lag_seconds", Help: "From a transaction's answer to its events in this copy.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9),
		}),
		reloads: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "drystone_metadata_loads_total", Help: "Times the copy was loaded anew.",
		}),
		purged: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "drystone_metadata_purged_total", Help: "Tombstones this replica purged.",
		}),
		compacts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "drystone_metadata_compactions_total", Help: "History compactions this replica did.",
		}),
	}
	errs := []error{}
	for _, c := range append(m.collectors(), gauges(t)...) {
		errs = append(errs, r.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("register the head's metrics: %w", err)
	}
	return m, nil
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		m.commits, m.batches, m.rounds, m.joins, m.retries, m.resolved, m.lag, m.reloads, m.purged, m.compacts,
	}
}

func gauges(t *table) []prometheus.Collector {
	gauge := func(name, help string, value func(sizes) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(t.sizes()) })
	}
	return []prometheus.Collector{
		gauge("drystone_metadata_rows", "Live rows in the copy.", func(s sizes) float64 { return float64(s.live) }),
		gauge("drystone_metadata_tombstones", "Tombstones in the copy.", func(s sizes) float64 { return float64(s.dead) }),
		gauge("drystone_metadata_bytes", "Bytes of keys and values in the copy.", func(s sizes) float64 { return float64(s.bytes) }),
		gauge("drystone_metadata_window_writes", "Writes that later tries would be recognized by.", func(s sizes) float64 { return float64(s.window) }),
		gauge("drystone_metadata_revision", "Revision that the copy has applied.", func(s sizes) float64 { return float64(s.applied) }),
	}
}

// count counts a write by its result.
func (m *metrics) count(err error) {
	switch {
	case err == nil:
		m.commits.WithLabelValues(outcomeApplied).Inc()
	case fault.Is(err, typesv1.Reason_REASON_OUTCOME_UNKNOWN):
		m.commits.WithLabelValues(outcomeUnknown).Inc()
	case fault.Is(err, typesv1.Reason_REASON_OVERLOADED, typesv1.Reason_REASON_UNAVAILABLE, typesv1.Reason_REASON_INTERNAL):
		m.commits.WithLabelValues(outcomeFailed).Inc()
	default:
		m.commits.WithLabelValues(outcomeRefused).Inc()
	}
}
