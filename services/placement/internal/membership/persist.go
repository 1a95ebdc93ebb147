package membership

import (
	"context"
	"log/slog"

	"google.golang.org/protobuf/proto"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
)

// persist writes the disk states that changed, until ctx ends. Every replica hears the same heartbeats and tries; the
// first one writes, the others then find nothing to do. What fails is tried again with the next heartbeat.
func (t *Tracker) persist(ctx context.Context) {
	for {
		select {
		case <-t.wake:
		case <-ctx.Done():
			return
		}
		heard := t.takeDirty()
		err := t.register.ChangeRegister(ctx, func(now map[string]*placementv1.Node) ([]*placementv1.Node, error) {
			return withStates(now, heard), nil
		})
		if err != nil && ctx.Err() == nil {
			t.log.WarnContext(ctx, "disk states are not written", slog.Any("error", err))
		}
	}
}

// takeDirty is the disks of the nodes whose states are to be written.
func (t *Tracker) takeDirty() map[string]map[string]*placementv1.Disk {
	t.mu.Lock()
	defer t.mu.Unlock()
	heard := make(map[string]map[string]*placementv1.Disk, len(t.dirty))
	for name := range t.dirty {
		if n := t.nodes[name]; n != nil {
			heard[name] = n.disks // replaced by heartbeats, never written to
		}
	}
	clear(t.dirty)
	return heard
}

// withStates is the entries that change when they take the states that were heard.
func withStates(now map[string]*placementv1.Node, heard map[string]map[string]*placementv1.Disk) []*placementv1.Node {
	var changed []*placementv1.Node
	for name, disks := range heard {
		var entry *placementv1.Node
		for i, d := range now[name].GetDisks() {
			state := lasting(disks[d.GetId()])
			if state == d.GetState() {
				continue
			}
			if entry == nil {
				entry = proto.CloneOf(now[name])
				changed = append(changed, entry)
			}
			entry.Disks[i].State, entry.Disks[i].Detail = state, disks[d.GetId()].GetDetail()
		}
	}
	return changed
}
