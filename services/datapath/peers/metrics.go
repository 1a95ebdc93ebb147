package peers

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/drystone-store/drystone/services/kit/telemetry"
)

type metrics struct {
	seconds *prometheus.HistogramVec
	broken  *prometheus.CounterVec
}

// nodeMetrics are those of one node, looked up once.
type nodeMetrics struct {
	seconds prometheus.Observer
	broken  prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	seconds, err := telemetry.Register(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "drystone_peer_append_seconds",
		Help:    "Time from handing over a frame to the answer that it is durable, by node.",
		Buckets: prometheus.ExponentialBuckets(0.0001, 4, 8), // 0.1 ms to 1.6 s
	}, []string{"peer"}))
	if err != nil {
		return nil, err //nolint:wrapcheck // says which metric
	}
	broken, err := telemetry.Register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "drystone_peer_append_streams_broken_total",
		Help: "Append streams that ended with frames unanswered, by node.",
	}, []string{"peer"}))
	if err != nil {
		return nil, err //nolint:wrapcheck // says which metric
	}
	return &metrics{seconds: seconds, broken: broken}, nil
}

func (m *metrics) of(node string) nodeMetrics {
	return nodeMetrics{seconds: m.seconds.WithLabelValues(node), broken: m.broken.WithLabelValues(node)}
}
