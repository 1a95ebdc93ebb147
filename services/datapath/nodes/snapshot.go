package nodes

import (
	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
)

// Snapshot is the topology at one moment. It never changes; what its methods return must not be changed either.
type Snapshot struct {
	topology *placementv1.Topology
	nodes    map[string]*placementv1.Node
	disks    map[string]home
}

type home struct {
	disk *placementv1.Disk
	node *placementv1.Node
}

// NewSnapshot indexes a topology, which must not change afterwards.
func NewSnapshot(t *placementv1.Topology) *Snapshot {
	s := &Snapshot{
		topology: t,
		nodes:    make(map[string]*placementv1.Node, len(t.GetNodes())),
		disks:    make(map[string]home, len(t.GetNodes())),
	}
	for _, node := range t.GetNodes() {
		s.nodes[node.GetPlace().GetNode()] = node
		for _, disk := range node.GetDisks() {
			s.disks[disk.GetId()] = home{disk: disk, node: node}
		}
	}
	return s
}

// Proto is the whole topology as placement sent it; an empty one before the first.
func (s *Snapshot) Proto() *placementv1.Topology { return s.topology }

// ClusterID is empty before the first topology.
func (s *Snapshot) ClusterID() string { return s.topology.GetClusterId() }

// Node finds a node by name.
func (s *Snapshot) Node(name string) (*placementv1.Node, bool) {
	node, ok := s.nodes[name]
	return node, ok
}

// Disk finds a disk by id, and the node that holds it.
func (s *Snapshot) Disk(id string) (*placementv1.Disk, *placementv1.Node, bool) {
	h, ok := s.disks[id]
	return h.disk, h.node, ok
}

// Usable counts the disks that can get new volumes: in order, not barred, on nodes that are up; and not those that the
// caller avoids. nil: it avoids none.
func (s *Snapshot) Usable(avoided func(disk string) bool) int {
	usable := 0
	for id, h := range s.disks {
		if avoided != nil && avoided(id) {
			continue
		}
		if h.node.GetState() == placementv1.NodeState_NODE_STATE_UP &&
			h.disk.GetState() == placementv1.DiskState_DISK_STATE_OK && !h.disk.GetBarred() {
			usable++
		}
	}
	return usable
}

// WriteScheme is what a write under the default scheme gets now; nil when no scheme keeps the floor.
func (s *Snapshot) WriteScheme() *typesv1.Scheme { return s.topology.GetWriteScheme() }

// DefaultScheme is the scheme of buckets that ask for none; nil before the first topology.
func (s *Snapshot) DefaultScheme() *typesv1.Scheme { return s.topology.GetDefaultScheme() }
