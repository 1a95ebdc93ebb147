package membership

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
)

func TestRegisterKeepsWhatLasts(t *testing.T) {
	shared := &memory{}
	tracker := newTracker(t, shared)
	register(t, tracker, nodeOf("a1", 1))
	want := nodeOf("a1", 1)
	want.Disks[0].FreeBytes, want.Disks[0].Chunks, want.Disks[0].SyncUs = 0, 0, 0
	if diff := cmp.Diff(want, shared.nodes["a1"], protocmp.Transform()); diff != "" {
		t.Errorf("in the register (-want +got):\n%s", diff)
	}
	writes := shared.writes
	register(t, tracker, nodeOf("a1", 1))
	if shared.writes != writes {
		t.Error("registering again wrote")
	}
	moved := nodeOf("a1", 1)
	moved.Address, moved.Place.Zone = "elsewhere:1", "z"
	register(t, tracker, moved)
	if n := shared.nodes["a1"]; n.GetAddress() != "elsewhere:1" || n.GetPlace().GetZone() != "z" {
		t.Errorf("address and place: %v", n)
	}
}

func TestRegisterKeepsDisksThatAreNotShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tracker := newTracker(t, &memory{})
		register(t, tracker, nodeOf("a1", 2))
		one := nodeOf("a1", 2)
		one.Disks = one.GetDisks()[1:]
		register(t, tracker, one)
		wantStates(t, tracker, "a1:up a1-0=missing")
		register(t, tracker, nodeOf("a1", 2))
		wantStates(t, tracker, "a1:up")
	})
}

// stolen is node b1 with a disk of a1 beside its own.
func stolen() *placementv1.Node {
	b := nodeOf("b1", 1)
	b.Disks = append(b.Disks, nodeOf("a1", 1).GetDisks()...)
	return b
}

func TestDiskOfALiveNodeIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &memory{}
		tracker := newTracker(t, shared)
		run(t, tracker)
		register(t, tracker, nodeOf("a1", 2), nodeOf("b1", 1))
		refused := func(why string, by *Tracker) {
			t.Helper()
			err := by.RegisterNode(t.Context(), stolen())
			wantReason(t, err, typesv1.Reason_REASON_INVALID_ARGUMENT)
			if err == nil || !strings.Contains(err.Error(), "a1-0 belongs to node a1") {
				t.Errorf("%s: %v", why, err)
			}
		}
		refused("a1 is up", tracker)
		refused("a new replica does not know a1's state", newTracker(t, shared))
		time.Sleep(4 * time.Second)
		wantStates(t, tracker, "a1:suspect, b1:suspect")
		refused("a1 is suspect", tracker)
		time.Sleep(2 * time.Second)
		wantStates(t, tracker, "a1:down, b1:down")
		register(t, tracker, stolen())
		wantStates(t, tracker, "a1:down, b1:up")
		if n := len(shared.nodes["a1"].GetDisks()); n != 1 {
			t.Errorf("a1 has %d disks, want 1", n)
		}
		if n := len(shared.nodes["b1"].GetDisks()); n != 2 {
			t.Errorf("b1 has %d disks, want 2", n)
		}
		// The old owner comes back with what it no longer has.
		wantReason(t, tracker.RegisterNode(t.Context(), nodeOf("a1", 2)), typesv1.Reason_REASON_INVALID_ARGUMENT)
	})
}

func TestDiskMovesOnceItsNodeNoLongerShowsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tracker := newTracker(t, &memory{})
		run(t, tracker)
		register(t, tracker, nodeOf("a1", 2), nodeOf("b1", 1))
		rest := nodeOf("a1", 2)
		rest.Disks = rest.GetDisks()[1:] // pulled out
		beat(t, tracker, rest)
		wantStates(t, tracker, "a1:up a1-0=missing, b1:up")
		register(t, tracker, stolen())
		wantStates(t, tracker, "a1:up, b1:up")
	})
}

func TestRegisterRefusesNonsense(t *testing.T) {
	for name, spoil := range map[string]func(*placementv1.Node){
		"no place":              func(n *placementv1.Node) { n.Place = nil },
		"no zone":               func(n *placementv1.Node) { n.Place.Zone = "" },
		"a name that is a path": func(n *placementv1.Node) { n.Place.Node = "a/b" },
		"a rack with a space":   func(n *placementv1.Node) { n.Place.Rack = "r 1" },
		"a long name":           func(n *placementv1.Node) { n.Place.Node = strings.Repeat("n", 64) },
		"no address":            func(n *placementv1.Node) { n.Address = "" },
		"a long address":        func(n *placementv1.Node) { n.Address = strings.Repeat("a", maxText+1) },
		"a disk without id":     func(n *placementv1.Node) { n.Disks[0].Id = "" },
		"a disk without state":  func(n *placementv1.Node) { n.Disks[0].State = 0 },
		"one disk twice":        func(n *placementv1.Node) { n.Disks[1].Id = n.GetDisks()[0].GetId() },
		"too many disks":        func(n *placementv1.Node) { n.Disks = nodeOf("a1", maxDisks+1).GetDisks() },
	} {
		t.Run(name, func(t *testing.T) {
			shared := &memory{}
			n := nodeOf("a1", 2)
			spoil(n)
			err := newTracker(t, shared).RegisterNode(t.Context(), n)
			wantReason(t, err, typesv1.Reason_REASON_INVALID_ARGUMENT)
			if shared.writes != 0 {
				t.Error("it was written")
			}
		})
	}
	n := nodeOf("a1", 1)
	n.Place.Rack = "" // a house without racks
	register(t, newTracker(t, &memory{}), n)
}
