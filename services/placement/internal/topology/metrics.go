package topology

import (
	"github.com/prometheus/client_golang/prometheus"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	"github.com/drystone-store/drystone/services/kit/telemetry"
)

type metrics struct{ volumes *prometheus.GaugeVec }

func newMetrics(r prometheus.Registerer) (metrics, error) {
	volumes, err := telemetry.Register(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "drystone_placement_volumes", Help: "Volumes in the map by state: opening, open, sealed.",
	}, []string{"state"}))
	return metrics{volumes: volumes}, err
}

func (m metrics) set(counts *placementv1.VolumeCounts) {
	m.volumes.WithLabelValues("opening").Set(float64(counts.GetOpening()))
	m.volumes.WithLabelValues("open").Set(float64(counts.GetOpen()))
	m.volumes.WithLabelValues("sealed").Set(float64(counts.GetSealed()))
}
