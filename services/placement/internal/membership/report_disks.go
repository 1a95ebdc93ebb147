package membership

import (
	"log/slog"
	"time"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/clock"
)

const (
	// barFor is how long the heartbeats of a barred disk must be good before it is used again.
	barFor = time.Minute
	// nodeWide is how many reported disks bar their node: one may be the disk's fault, two are the node's.
	nodeWide = 2
	// zonesForZoneBar is how many zones there must be before reports may bar one of them: with fewer, barring a zone
	// would leave too little to write to, on the word of writers alone.
	zonesForZoneBar = 3
)

// bar keeps a reported disk from new volumes.
type bar struct {
	place *typesv1.Place
	// goodSince is when the unbroken good heartbeats began.
	goodSince time.Time
}

// ReportDisks bars disks that failed or stalled under a writer, as far as constraint 5 allows, and returns those of
// them that are barred now. Unknown disks are passed over.
func (t *Tracker) ReportDisks(reporter string, reports []*placementv1.DiskReport) []string {
	places, zones := map[string]*typesv1.Place{}, map[string]struct{}{}
	for _, n := range t.register.Register() {
		zones[n.GetPlace().GetZone()] = struct{}{}
		for _, d := range n.GetDisks() {
			places[d.GetId()] = n.GetPlace()
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var barred []string
	for _, r := range reports {
		place, known := places[r.GetDisk()]
		if !known {
			continue
		}
		attrs := slog.Group("report", slog.String("by", reporter), slog.String("disk", r.GetDisk()),
			slog.String("node", place.GetNode()), slog.String("reason", r.GetReason()), slog.String("detail", r.GetDetail()))
		if !t.mayBar(place, len(zones)) {
			t.log.Warn("a reported disk is not barred: a zone and a node are already", attrs)
			continue
		}
		t.log.Warn("a disk is barred from new volumes", attrs)
		t.bars[r.GetDisk()] = &bar{place: place, goodSince: clock.Now()}
		notify(t.changed)
		barred = append(barred, r.GetDisk())
	}
	t.metrics.barred.Set(float64(len(t.bars)))
	return barred
}

// mayBar says whether one more barred place keeps constraint 5: there is a zone outside which at most one node is
// barred.
func (t *Tracker) mayBar(place *typesv1.Place, zones int) bool {
	all := []*typesv1.Place{place}
	for _, b := range t.bars {
		all = append(all, b.place)
	}
	if nodesOutside(all, "") <= 1 {
		return true
	}
	if zones < zonesForZoneBar {
		return false
	}
	for _, p := range all {
		if nodesOutside(all, p.GetZone()) <= 1 {
			return true
		}
	}
	return false
}

// nodesOutside counts the nodes of places that are not in a zone.
func nodesOutside(places []*typesv1.Place, zone string) int {
	nodes := map[string]struct{}{}
	for _, p := range places {
		if p.GetZone() != zone {
			nodes[p.GetNode()] = struct{}{}
		}
	}
	return len(nodes)
}

// sweepBars ends the bars whose minute is over.
func (t *Tracker) sweepBars(now time.Time) {
	for id, b := range t.bars {
		n := t.nodes[b.place.GetNode()]
		good := n != nil && n.state == placementv1.NodeState_NODE_STATE_UP &&
			lasting(n.disks[id]) == placementv1.DiskState_DISK_STATE_OK
		if !good {
			b.goodSince = now
		}
		if now.Sub(b.goodSince) >= barFor {
			t.log.Info("a disk is no longer barred", slog.String("disk", id), slog.String("node", b.place.GetNode()))
			delete(t.bars, id)
			notify(t.changed)
		}
	}
}

// barredNodes counts the reported disks of each node.
func (t *Tracker) barredNodes() map[string]int {
	reported := map[string]int{}
	for _, b := range t.bars {
		reported[b.place.GetNode()]++
	}
	return reported
}
