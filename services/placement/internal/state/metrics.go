package state

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drystone-store/drystone/services/kit/telemetry"
)

type metrics struct {
	txns   *prometheus.HistogramVec
	lag    prometheus.Histogram
	loads  prometheus.Counter
	breaks prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (metrics, error) {
	var m metrics
	var err error
	m.txns, err = telemetry.Register(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "drystone_placement_etcd_txn_seconds",
		Help:    "Time of write transactions by operation and outcome: won, lost (a compare failed), error.",
		Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14), // 0.5 ms to 4 s
	}, []string{"operation", "outcome"}))
	if err != nil {
		return m, err
	}
	m.lag, err = telemetry.Register(r, prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "drystone_placement_watch_lag_seconds",
		Help:    "How long after a linearizable read the watch had caught up with it.",
		Buckets: prometheus.ExponentialBuckets(0.0001, 2, 15), // 0.1 ms to 1.6 s
	}))
	if err != nil {
		return m, err
	}
	m.loads, err = telemetry.Register(r, prometheus.NewCounter(prometheus.CounterOpts{
		Name: "drystone_placement_loads_total",
		Help: "Times the whole state was read from etcd; more than one means that the watch fell behind compaction.",
	}))
	if err != nil {
		return m, err
	}
	m.breaks, err = telemetry.Register(r, prometheus.NewCounter(prometheus.CounterOpts{
		Name: "drystone_placement_watch_breaks_total",
		Help: "Times the watch or a load broke off.",
	}))
	return m, err
}

func (m metrics) observe(operation string, took time.Duration, won bool, err error) {
	outcome := "lost"
	switch {
	case err != nil:
		outcome = "error"
	case won:
		outcome = "won"
	}
	m.txns.WithLabelValues(operation, outcome).Observe(took.Seconds())
}
