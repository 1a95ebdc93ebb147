package policy

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

const diskBytes = 1 << 40

// grid makes a topology of equal usable disks: zones[z] nodes in zone z, each in its own rack, with as many disks.
func grid(disksPerNode int, zones ...int) *Topology {
	return NewTopology(gridDisks(disksPerNode, zones...))
}

func gridDisks(disksPerNode int, zones ...int) []Disk {
	var disks []Disk
	for z, nodes := range zones {
		for n := range nodes {
			for d := range disksPerNode {
				disks = append(disks, Disk{
					ID:            fmt.Sprintf("z%d-n%d-d%d", z, n, d),
					Zone:          fmt.Sprintf("z%d", z),
					Rack:          fmt.Sprintf("r%d", n),
					Node:          fmt.Sprintf("z%d-n%d", z, n),
					CapacityBytes: diskBytes, FreeBytes: diskBytes,
				})
			}
		}
	}
	return disks
}

// ids lists every disk of a zone or node by its prefix.
func ids(t *Topology, prefix string) []string {
	var found []string
	for _, d := range t.disks {
		if len(d.ID) >= len(prefix) && d.ID[:len(prefix)] == prefix {
			found = append(found, d.ID)
		}
	}
	return found
}

// drawTopology draws any topology of at most max disks: zones of unequal racks, racks of unequal nodes, nodes of
// unequal disks, in any health.
func drawTopology(t *rapid.T, limit int) *Topology {
	count := rapid.IntRange(1, limit).Draw(t, "disks")
	zones := rapid.IntRange(1, 4).Draw(t, "zones")
	disks := make([]Disk, count)
	places := map[string][2]string{} // node → zone, rack
	for i := range disks {
		node := fmt.Sprintf("n%d", rapid.IntRange(0, count).Draw(t, "node"))
		if _, seen := places[node]; !seen {
			places[node] = [2]string{
				fmt.Sprintf("z%d", rapid.IntRange(0, zones-1).Draw(t, "zone")),
				fmt.Sprintf("r%d", rapid.IntRange(0, 2).Draw(t, "rack")),
			}
		}
		capacity := rapid.Uint64Range(0, diskBytes).Draw(t, "capacity")
		disks[i] = Disk{
			ID: fmt.Sprintf("d%02d", i), Zone: places[node][0], Rack: places[node][1], Node: node,
			Health:        rapid.SampledFrom([]Health{Usable, Usable, Usable, Usable, Reserved, Unreachable, Lost}).Draw(t, "health"),
			CapacityBytes: capacity, FreeBytes: rapid.Uint64Range(0, capacity).Draw(t, "free"),
			Chunks: rapid.Uint64Range(0, 100).Draw(t, "chunks"),
		}
	}
	return NewTopology(disks)
}

func TestTopologyKeepsTheFirstOfTwoDisksWithOneID(t *testing.T) {
	topology := NewTopology([]Disk{{ID: "a", Node: "n1"}, {ID: "b", Node: "n1"}, {ID: "a", Node: "n2"}})
	if got := topology.Registered().Disks(); got != 2 {
		t.Errorf("registered disks: %d, want 2", got)
	}
	if got := topology.Registered().Nodes(); got != 1 {
		t.Errorf("nodes: %d, want 1", got)
	}
}

func TestTopologyRacksOfOneNameInTwoZonesAreTwo(t *testing.T) {
	topology := NewTopology([]Disk{
		{ID: "a", Zone: "z1", Rack: "r", Node: "n1"},
		{ID: "b", Zone: "z2", Rack: "r", Node: "n2"},
	})
	if topology.racks != 2 {
		t.Errorf("racks: %d, want 2", topology.racks)
	}
}

func TestTopologyWithoutLeavesTheOriginalAlone(t *testing.T) {
	topology := grid(1, 3)
	without := topology.Without("z0-n1-d0", "unknown")
	if got := without.Healthy().Disks(); got != 2 {
		t.Errorf("healthy without one: %d, want 2", got)
	}
	if got := topology.Healthy().Disks(); got != 3 {
		t.Errorf("the original: %d healthy, want 3", got)
	}
	lost := NewTopology([]Disk{{ID: "a", Health: Lost}}).Without("a")
	if lost.disks[0].Health != Lost {
		t.Error("an exclusion made a lost disk look better")
	}
}
