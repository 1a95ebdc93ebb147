package membership

import (
	"cmp"
	"context"
	"regexp"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

const (
	// maxDisks of a node: the largest chassis have about a hundred.
	maxDisks = 256
	// maxText bounds addresses, paths, ids and details, which end up in etcd and in every topology message.
	maxText = 1024
)

// RegisterNode enters a node or refreshes its entry, and counts as a heartbeat. Registered disks that it does not name
// stay registered, as missing. Errors: INVALID_ARGUMENT (also for a disk of another node that is alive), UNAVAILABLE.
func (t *Tracker) RegisterNode(ctx context.Context, node *placementv1.Node) error {
	if err := checkNode(node); err != nil {
		return err
	}
	released := t.released()
	err := t.register.ChangeRegister(ctx, func(now map[string]*placementv1.Node) ([]*placementv1.Node, error) {
		return enroll(node, now, released)
	})
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hear(node.GetPlace().GetNode(), "", byID(node.GetDisks()))
	notify(t.changed) // its address or place may be new
	return nil
}

// home is a disk on a node.
type home struct{ node, disk string }

// released is the registered disks that another node may take: those of nodes that are down, and those that a node no
// longer shows. A node that was not heard of yet may be alive and show all it has.
func (t *Tracker) released() map[home]bool {
	registered := t.register.Register()
	t.mu.Lock()
	defer t.mu.Unlock()
	released := map[home]bool{}
	for name, entry := range registered {
		n := t.nodes[name]
		if n == nil {
			continue
		}
		for _, d := range entry.GetDisks() {
			gone := n.heard && lasting(n.disks[d.GetId()]) == placementv1.DiskState_DISK_STATE_MISSING
			if gone || n.state == placementv1.NodeState_NODE_STATE_DOWN {
				released[home{name, d.GetId()}] = true
			}
		}
	}
	return released
}

// enroll is the entries that registering a node changes: its own, and those of nodes that it takes disks from.
func enroll(
	node *placementv1.Node, now map[string]*placementv1.Node, released map[home]bool,
) ([]*placementv1.Node, error) {
	name := node.GetPlace().GetNode()
	shown := map[string]bool{}
	for _, d := range node.GetDisks() {
		shown[d.GetId()] = true
	}
	var changed []*placementv1.Node
	for other, n := range now {
		if other == name {
			continue
		}
		var kept []*placementv1.Disk
		for _, d := range n.GetDisks() {
			switch {
			case !shown[d.GetId()]:
				kept = append(kept, d)
			case !released[home{other, d.GetId()}]:
				return nil, invalid("disk %s belongs to node %s, which is alive", d.GetId(), other)
			}
		}
		if len(kept) < len(n.GetDisks()) {
			poorer := proto.CloneOf(n)
			poorer.Disks = kept
			changed = append(changed, poorer)
		}
	}
	if entry := entryOf(node, now[name], shown); !proto.Equal(entry, now[name]) {
		changed = append(changed, entry)
	}
	return changed, nil
}

// entryOf is a node as the register keeps it: without what heartbeats tell, and with the disks that it once had.
func entryOf(node, before *placementv1.Node, shown map[string]bool) *placementv1.Node {
	entry := &placementv1.Node{
		Place: proto.CloneOf(node.GetPlace()), Address: node.GetAddress(),
		Socket: node.GetSocket(), BootId: node.GetBootId(),
	}
	for _, d := range node.GetDisks() {
		entry.Disks = append(entry.Disks, &placementv1.Disk{
			Id: d.GetId(), Path: d.GetPath(), State: lasting(d), Detail: d.GetDetail(), CapacityBytes: d.GetCapacityBytes(),
		})
	}
	for _, d := range before.GetDisks() {
		if !shown[d.GetId()] {
			missing := proto.CloneOf(d)
			missing.State = placementv1.DiskState_DISK_STATE_MISSING
			entry.Disks = append(entry.Disks, missing)
		}
	}
	slices.SortFunc(entry.GetDisks(), func(a, b *placementv1.Disk) int { return cmp.Compare(a.GetId(), b.GetId()) })
	return entry
}

func checkNode(n *placementv1.Node) error {
	place := n.GetPlace()
	// Node names are part of etcd keys, and all three are shown to people and in metrics.
	word := regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	for _, field := range []struct {
		name, value string
		optional    bool
	}{{"place.zone", place.GetZone(), false}, {"place.rack", place.GetRack(), true}, {"place.node", place.GetNode(), false}} {
		if field.value == "" && field.optional {
			continue
		}
		if !word.MatchString(field.value) {
			return invalid("%s %q: want 1 to 63 letters, digits, dots, dashes and underscores", field.name, field.value)
		}
	}
	if n.GetAddress() == "" || len(n.GetAddress()) > maxText || len(n.GetSocket()) > maxText || len(n.GetBootId()) > maxText {
		return invalid("address: it is needed, and address, socket and boot id have at most %d bytes", maxText)
	}
	return checkDisks(n.GetDisks())
}

func checkDisks(disks []*placementv1.Disk) error {
	if len(disks) > maxDisks {
		return invalid("disks: %d of them, a node may have %d", len(disks), maxDisks)
	}
	seen := make(map[string]bool, len(disks))
	for _, d := range disks {
		switch {
		case d.GetId() == "" || len(d.GetId()) > maxText || len(d.GetPath()) > maxText || len(d.GetDetail()) > maxText:
			return invalid("disk %.40q: an id is needed, and id, path and detail have at most %d bytes", d.GetId(), maxText)
		case seen[d.GetId()]:
			return invalid("disk %s is named twice", d.GetId())
		case d.GetState() == placementv1.DiskState_DISK_STATE_UNSPECIFIED:
			return invalid("disk %s has no state", d.GetId())
		}
		seen[d.GetId()] = true
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fault.New(codes.InvalidArgument, typesv1.Reason_REASON_INVALID_ARGUMENT, format, args...)
}
