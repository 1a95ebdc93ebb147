package volume

import (
	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	"github.com/drystone-store/drystone/services/datapath/nodes"
)

// TopologyHealth judges members by the topology: a MemberHealth for readers.
type TopologyHealth struct {
	// Topology gives the latest snapshot; *nodes.Topology does.
	Topology interface{ Snapshot() *nodes.Snapshot }
}

// Healthy says no only for nodes that are down and disks that cannot be read. Who is only suspect is asked: reading
// around it would cost k reads for one. Who is unknown is asked too: the topology may be older than the map.
func (h TopologyHealth) Healthy(member *placementv1.Member) bool {
	disk, node, ok := h.Topology.Snapshot().Disk(member.GetDisk())
	if !ok {
		return true
	}
	if node.GetState() == placementv1.NodeState_NODE_STATE_DOWN {
		return false
	}
	switch disk.GetState() {
	case placementv1.DiskState_DISK_STATE_FAILED, placementv1.DiskState_DISK_STATE_MISSING:
		return false
	default:
		return true
	}
}
