package membership

import (
	"cmp"
	"slices"

	"google.golang.org/protobuf/proto"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
)

// Nodes is every registered node with its state and that of its disks, by name; the messages are the caller's.
// settled is false while a node may be alive that this replica has not heard of yet, since it started or since the
// node registered elsewhere: what looks like a failure then may be none.
func (t *Tracker) Nodes() (nodes []*placementv1.Node, settled bool) {
	registered := t.register.Register()
	t.mu.Lock()
	defer t.mu.Unlock()
	reported := t.barredNodes()
	settled = true
	for name, entry := range registered {
		n, known := t.nodes[name]
		if !known {
			n = &tracked{state: placementv1.NodeState_NODE_STATE_SUSPECT}
		}
		if !n.heard && n.state != placementv1.NodeState_NODE_STATE_DOWN {
			settled = false
		}
		nodes = append(nodes, t.present(entry, n, reported[name] >= nodeWide))
	}
	slices.SortFunc(nodes, func(a, b *placementv1.Node) int {
		return cmp.Compare(a.GetPlace().GetNode(), b.GetPlace().GetNode())
	})
	return nodes, settled
}

// present joins a register's entry with what was heard.
func (t *Tracker) present(entry *placementv1.Node, n *tracked, barred bool) *placementv1.Node {
	shown := proto.CloneOf(entry)
	shown.State = n.state
	if barred && n.state == placementv1.NodeState_NODE_STATE_UP {
		shown.State = placementv1.NodeState_NODE_STATE_SUSPECT
	}
	for _, d := range shown.GetDisks() {
		_, reported := t.bars[d.GetId()]
		d.Barred = reported || barred
		if !n.heard {
			continue
		}
		heard, ok := n.disks[d.GetId()]
		if !ok {
			d.State = placementv1.DiskState_DISK_STATE_MISSING
			continue
		}
		d.State, d.Detail = heard.GetState(), heard.GetDetail()
		d.CapacityBytes, d.FreeBytes = heard.GetCapacityBytes(), heard.GetFreeBytes()
		d.Chunks, d.SyncUs = heard.GetChunks(), heard.GetSyncUs()
	}
	return shown
}
