package membership

import (
	"log/slog"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// Heartbeat notes that a node is alive and how its disks fare. run is new with each start of the node's process.
// Errors: NO_SUCH_DISK when the node, or a disk of its, is not registered; INVALID_ARGUMENT.
func (t *Tracker) Heartbeat(name, run string, disks []*placementv1.Disk) error {
	registered, ok := t.register.Node(name)
	if !ok {
		return fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_DISK, "node %q is not registered", name)
	}
	if err := checkDisks(disks); err != nil {
		return err
	}
	known := make(map[string]*placementv1.Disk, len(registered.GetDisks()))
	for _, d := range registered.GetDisks() {
		known[d.GetId()] = d
	}
	for _, d := range disks {
		if known[d.GetId()] == nil {
			return fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_DISK,
				"disk %s is not registered with node %s", d.GetId(), name)
		}
	}
	shown := byID(disks)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hear(name, run, shown)
	for id, d := range known {
		if lasting(shown[id]) != lasting(d) {
			t.dirty[name] = struct{}{}
			notify(t.wake)
		}
	}
	return nil
}

// hear needs the lock. The disks become the tracker's.
func (t *Tracker) hear(name, run string, disks map[string]*placementv1.Disk) {
	now := clock.Now()
	n := t.nodes[name]
	if n == nil {
		n = &tracked{}
		t.nodes[name] = n
	}
	if n.run != "" && run != "" && n.run != run {
		t.log.Info("a node restarted", slog.String("node", name))
		for _, b := range t.bars {
			if b.place.GetNode() == name {
				b.goodSince = now
			}
		}
	}
	if run != "" {
		n.run = run
	}
	for id, d := range disks {
		if d.GetState() != n.disks[id].GetState() {
			notify(t.changed)
		}
	}
	if len(disks) != len(n.disks) {
		notify(t.changed)
	}
	n.heard, n.at, n.disks = true, now, disks
	t.enter(name, n, placementv1.NodeState_NODE_STATE_UP)
}

// byID copies disks, since the sender of a message may keep it.
func byID(disks []*placementv1.Disk) map[string]*placementv1.Disk {
	copies := make(map[string]*placementv1.Disk, len(disks))
	for _, d := range disks {
		copies[d.GetId()] = proto.CloneOf(d)
	}
	return copies
}

// lasting is the state of a disk as the register has it. A disk that the node does not show (nil) is missing; full
// comes and goes with deletions and is not written.
func lasting(d *placementv1.Disk) placementv1.DiskState {
	switch {
	case d == nil:
		return placementv1.DiskState_DISK_STATE_MISSING
	case d.GetState() == placementv1.DiskState_DISK_STATE_FULL:
		return placementv1.DiskState_DISK_STATE_OK
	default:
		return d.GetState()
	}
}
