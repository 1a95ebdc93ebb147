package server

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/kit/telemetry"
)

// maxSchemeLabels bounds the pairs of schemes that have a counter of their own: a cluster has a few in use, but a
// caller may ask for any of 512.
const maxSchemeLabels = 64

// other stands for the schemes beyond maxSchemeLabels.
const other = "other"

// Metrics counts what the server decides.
type Metrics struct {
	opens   *prometheus.CounterVec
	refused prometheus.Counter

	mu   sync.Mutex
	seen map[[2]erasure.Scheme]struct{}
}

// NewMetrics registers the server's metrics. Errors: a name is taken.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	opens, err := telemetry.Register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "drystone_placement_opens_total",
		Help: "Volumes opened by the scheme that was wanted and the one they got.",
	}, []string{"wanted", "got"}))
	if err != nil {
		return nil, err
	}
	refused, err := telemetry.Register(r, prometheus.NewCounter(prometheus.CounterOpts{
		Name: "drystone_placement_opens_refused_total",
		Help: "Volumes that were not opened because no scheme keeps the floor on the healthy disks.",
	}))
	return &Metrics{opens: opens, refused: refused, seen: map[[2]erasure.Scheme]struct{}{}}, err
}

func (m *Metrics) opened(wanted, got erasure.Scheme) {
	pair := [2]erasure.Scheme{wanted, got}
	m.mu.Lock()
	_, known := m.seen[pair]
	if !known && len(m.seen) < maxSchemeLabels {
		m.seen[pair], known = struct{}{}, true
	}
	m.mu.Unlock()
	if !known {
		m.opens.WithLabelValues(other, other).Inc()
		return
	}
	m.opens.WithLabelValues(wanted.String(), got.String()).Inc()
}

func (m *Metrics) refusedOpen() { m.refused.Inc() }
