package membership

import (
	"iter"

	"github.com/prometheus/client_golang/prometheus"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	"github.com/drystone-store/drystone/services/kit/telemetry"
)

type metrics struct {
	nodes  *prometheus.GaugeVec
	barred prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) (metrics, error) {
	var m metrics
	var err error
	m.nodes, err = telemetry.Register(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "drystone_placement_nodes", Help: "Nodes by state, as this replica sees them: up, suspect, down.",
	}, []string{"state"}))
	if err != nil {
		return m, err
	}
	m.barred, err = telemetry.Register(r, prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "drystone_placement_disks_barred", Help: "Disks that writers reported and that get no new volumes.",
	}))
	return m, err
}

func (m metrics) set(nodes iter.Seq[*tracked], barred int) {
	counts := map[placementv1.NodeState]int{}
	for n := range nodes {
		counts[n.state]++
	}
	for _, state := range []placementv1.NodeState{
		placementv1.NodeState_NODE_STATE_UP, placementv1.NodeState_NODE_STATE_SUSPECT, placementv1.NodeState_NODE_STATE_DOWN,
	} {
		m.nodes.WithLabelValues(word(state)).Set(float64(counts[state]))
	}
	m.barred.Set(float64(barred))
}
