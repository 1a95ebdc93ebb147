package volume

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/drystone-store/drystone/services/kit/telemetry"
)

type writerMetrics struct {
	seconds *prometheus.HistogramVec
	records prometheus.Histogram
	hedges  *prometheus.CounterVec
	moves   *prometheus.CounterVec
	opened  *prometheus.CounterVec
	seals   *prometheus.CounterVec
}

func newWriterMetrics(r prometheus.Registerer, w *Writer) (*writerMetrics, error) {
	m := &writerMetrics{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "drystone_writer_append_seconds",
			Help:    "Time until an append was durable in every column, by volume class.",
			Buckets: prometheus.ExponentialBuckets(0.00025, 2, 13), // 0.25 ms to 1 s
		}, []string{"class"}),
		records: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "drystone_writer_batch_records",
			Help:    "Records that shared a packed append.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 11),
		}),
		hedges: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drystone_writer_hedges_total",
			Help: "Appends that also went to the standby, by volume class and whether the standby was first.",
		}, []string{"class", "outcome"}),
		moves: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drystone_writer_moves_total",
			Help: "Open volumes that were left because a member failed, by volume class and reason.",
		}, []string{"class", "reason"}),
		opened: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drystone_writer_volumes_opened_total",
			Help: "Volumes opened, by class.",
		}, []string{"class"}),
		seals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drystone_writer_seals_total",
			Help: "Volumes that were sealed, or left for repair to seal.",
		}, []string{"outcome"}),
	}
	if r == nil {
		return m, nil
	}
	open := &openCollector{w: w, desc: prometheus.NewDesc("drystone_writer_open_volumes",
		"Volumes that are open for appends, by class and role.", []string{"class", "role"}, nil)}
	for _, c := range []prometheus.Collector{m.seconds, m.records, m.hedges, m.moves, m.opened, m.seals, open} {
		if _, err := telemetry.Register(r, c); err != nil {
			return nil, err //nolint:wrapcheck // says which metric
		}
	}
	return m, nil
}

// openCollector counts open volumes when they are asked for.
type openCollector struct {
	w    *Writer
	desc *prometheus.Desc
}

func (c *openCollector) Describe(out chan<- *prometheus.Desc) { out <- c.desc }

func (c *openCollector) Collect(out chan<- prometheus.Metric) {
	type role struct{ class, role string }
	counts := make(map[role]int)
	for _, l := range c.w.allLanes() {
		class := className(l.key.class)
		active, standby := l.count()
		counts[role{class, "active"}] += active
		counts[role{class, "standby"}] += standby
	}
	for r, n := range counts {
		out <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(n), r.class, r.role)
	}
}
