package volume

import (
	"testing"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/nodes"
)

type fixedTopology struct{ snapshot *nodes.Snapshot }

func (f fixedTopology) Snapshot() *nodes.Snapshot { return f.snapshot }

func TestTopologyHealth(t *testing.T) {
	topology := &placementv1.Topology{ClusterId: "c"}
	add := func(id string, node placementv1.NodeState, disk placementv1.DiskState) {
		topology.Nodes = append(topology.Nodes, &placementv1.Node{
			Place: &typesv1.Place{Node: "node-" + id}, State: node, Disks: []*placementv1.Disk{{Id: id, State: disk}},
		})
	}
	const up, suspect, down = placementv1.NodeState_NODE_STATE_UP, placementv1.NodeState_NODE_STATE_SUSPECT, placementv1.NodeState_NODE_STATE_DOWN
	add("good", up, placementv1.DiskState_DISK_STATE_OK)
	add("full", up, placementv1.DiskState_DISK_STATE_FULL)
	add("read-only", up, placementv1.DiskState_DISK_STATE_READ_ONLY)
	add("suspect", suspect, placementv1.DiskState_DISK_STATE_OK)
	add("down", down, placementv1.DiskState_DISK_STATE_OK)
	add("failed", up, placementv1.DiskState_DISK_STATE_FAILED)
	add("missing", up, placementv1.DiskState_DISK_STATE_MISSING)
	health := TopologyHealth{Topology: fixedTopology{nodes.NewSnapshot(topology)}}
	for id, want := range map[string]bool{
		"good": true, "full": true, "read-only": true, "suspect": true, "down": false, "failed": false, "missing": false,
		"unknown": true,
	} {
		if got := health.Healthy(&placementv1.Member{Disk: id, Node: "node-" + id}); got != want {
			t.Errorf("%s: %v, want %v", id, got, want)
		}
	}
}
