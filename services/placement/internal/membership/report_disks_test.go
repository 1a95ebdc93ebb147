package membership

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
)

func report(tracker *Tracker, disks ...string) []string {
	reports := make([]*placementv1.DiskReport, len(disks))
	for i, d := range disks {
		reports[i] = &placementv1.DiskReport{Disk: d, Reason: "DISK_FAILED"}
	}
	return tracker.ReportDisks("a test", reports)
}

// house registers nodes 1 to n in each zone.
func house(t *testing.T, tracker *Tracker, nodes, disks int, zones ...string) []*placementv1.Node {
	t.Helper()
	var all []*placementv1.Node
	for _, z := range zones {
		for i := range nodes {
			all = append(all, nodeOf(fmt.Sprintf("%s%d", z, i+1), disks))
		}
	}
	register(t, tracker, all...)
	return all
}

func TestReportsBarAZoneAndANodeAtMost(t *testing.T) {
	for _, c := range []struct {
		name    string
		zones   []string
		reports []string
		want    []string
	}{
		{"one disk", []string{"a", "b", "c"}, []string{"a1-0"}, []string{"a1-0"}},
		{"an unknown disk", []string{"a", "b", "c"}, []string{"x"}, nil},
		{"a zone", []string{"a", "b", "c"}, []string{"a1-0", "a2-0", "a3-0"}, []string{"a1-0", "a2-0", "a3-0"}},
		{"a zone and a node", []string{"a", "b", "c"}, []string{"a1-0", "a2-0", "a3-0", "b1-0", "b1-1"}, []string{"a1-0", "a2-0", "a3-0", "b1-0", "b1-1"}},
		{"a zone and two nodes", []string{"a", "b", "c"}, []string{"a1-0", "a2-0", "b1-0", "c1-0"}, []string{"a1-0", "a2-0", "b1-0"}},
		{"two nodes in each of two zones", []string{"a", "b", "c"}, []string{"a1-0", "b1-0", "a2-0", "b2-0"}, []string{"a1-0", "b1-0", "a2-0"}},
		{"one zone only: one node", []string{"a"}, []string{"a1-0", "a1-1", "a2-0"}, []string{"a1-0", "a1-1"}},
		{"two zones: one node", []string{"a", "b"}, []string{"a1-0", "a2-0", "b1-0"}, []string{"a1-0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tracker := newTracker(t, &memory{})
			house(t, tracker, 3, 2, c.zones...)
			if diff := cmp.Diff(c.want, report(tracker, c.reports...)); diff != "" {
				t.Errorf("barred (-want +got):\n%s", diff)
			}
			// A second report changes nothing.
			if diff := cmp.Diff(c.want, report(tracker, c.want...)); diff != "" {
				t.Errorf("barred again (-want +got):\n%s", diff)
			}
		})
	}
}

// TestReportsNeverCloseTheCluster: whatever writers say, two thirds of three zones less one node stay.
func TestReportsNeverCloseTheCluster(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tracker := newTracker(t, &memory{})
		house(t, tracker, 3, 2, "a", "b", "c")
		for range rapid.IntRange(0, 30).Draw(rt, "reports") {
			report(tracker, fmt.Sprintf("%s%d-%d", rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "zone"),
				rapid.IntRange(1, 3).Draw(rt, "node"), rapid.IntRange(0, 1).Draw(rt, "disk")))
		}
		nodes, _ := tracker.Nodes()
		free, zones := 0, map[string]int{}
		for _, n := range nodes {
			barred := false
			for _, d := range n.GetDisks() {
				barred = barred || d.GetBarred()
			}
			if !barred {
				free++
				zones[n.GetPlace().GetZone()]++
			}
		}
		if free < 5 || len(zones) < 2 {
			rt.Fatalf("only %d nodes in %d zones are left", free, len(zones))
		}
	})
}

func TestTwoReportedDisksBarTheirNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tracker := newTracker(t, &memory{})
		house(t, tracker, 1, 3, "a", "b", "c")
		report(tracker, "a1-0")
		wantStates(t, tracker, "a1:up a1-0 barred, b1:up, c1:up")
		report(tracker, "a1-2")
		wantStates(t, tracker, "a1:suspect a1-0 barred a1-1 barred a1-2 barred, b1:up, c1:up")
	})
}

func TestBarEndsAfterAMinuteOfGoodHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tracker := newTracker(t, &memory{})
		run(t, tracker)
		nodes := house(t, tracker, 1, 1, "a", "b", "c")
		report(tracker, "a1-0")
		const barred, free = "a1:up a1-0 barred, b1:up, c1:up", "a1:up, b1:up, c1:up"
		beatFor(t, 59*time.Second, tracker, nodes...)
		wantStates(t, tracker, barred)
		report(tracker, "a1-0") // the minute begins again
		beatFor(t, 59*time.Second, tracker, nodes...)
		wantStates(t, tracker, barred)
		beatFor(t, 2*time.Second, tracker, nodes...)
		wantStates(t, tracker, free)
	})
}

func TestBarWaitsForGoodHeartbeats(t *testing.T) {
	for _, c := range []struct {
		name string
		bad  func(t *testing.T, tracker *Tracker, nodes []*placementv1.Node)
	}{
		{"silence", func(t *testing.T, tracker *Tracker, nodes []*placementv1.Node) {
			t.Helper()
			beatFor(t, 4*time.Second, tracker, nodes[1:]...)
		}},
		{"a failed disk", func(t *testing.T, tracker *Tracker, nodes []*placementv1.Node) {
			t.Helper()
			nodes[0].Disks[0].State = placementv1.DiskState_DISK_STATE_FAILED
			beatFor(t, time.Second, tracker, nodes...)
			nodes[0].Disks[0].State = placementv1.DiskState_DISK_STATE_OK
		}},
		{"a restart", func(t *testing.T, tracker *Tracker, nodes []*placementv1.Node) {
			t.Helper()
			if err := tracker.Heartbeat("a1", "another run", nodes[0].GetDisks()); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tracker := newTracker(t, &memory{})
				run(t, tracker)
				nodes := house(t, tracker, 1, 1, "a", "b", "c")
				beat(t, tracker, nodes...)
				report(tracker, "a1-0")
				beatFor(t, 30*time.Second, tracker, nodes...)
				c.bad(t, tracker, nodes)
				beatFor(t, 55*time.Second, tracker, nodes...)
				wantStates(t, tracker, "a1:up a1-0 barred, b1:up, c1:up")
				beatFor(t, 7*time.Second, tracker, nodes...)
				wantStates(t, tracker, "a1:up, b1:up, c1:up")
			})
		})
	}
}

func TestNodesOutsideCountsNodesOnce(t *testing.T) {
	// Bars count nodes by name, wherever they stand.
	places := []*typesv1.Place{{Zone: "a", Rack: "r", Node: "1"}, {Zone: "a", Rack: "r", Node: "1"}, {Zone: "b", Node: "2"}}
	if n := nodesOutside(places, "a"); n != 1 {
		t.Errorf("%d nodes outside zone a, want 1", n)
	}
	if n := nodesOutside(places, ""); n != 2 {
		t.Errorf("%d nodes in all, want 2", n)
	}
}
