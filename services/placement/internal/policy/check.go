package policy

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/drystone-store/drystone/services/datapath/erasure"
)

// Volume is a volume as it lies.
type Volume struct {
	// Scheme is what it is coded with.
	Scheme erasure.Scheme
	// Disks has the home of each column.
	Disks []string
}

// Why says what is wrong with a column's home.
type Why int

const (
	// WhyLost means that the disk is failed, missing or unknown: rebuild the column elsewhere.
	WhyLost Why = iota + 1
	// WhyUnreachable means that its node is down: rebuild once patience ends.
	WhyUnreachable
	// WhyDoubled means that an earlier column lies on the same disk.
	WhyDoubled
	// WhyCrowded means that moving the column would spread the volume better.
	WhyCrowded
)

// Misplacement is a column that a repairer would move.
type Misplacement struct {
	Column int
	Disk   string
	Why    Why
	// Detail says it for people: "zone a holds 4 columns, 3 would do".
	Detail string
}

// Check judges a volume by the rules that Pick follows and returns, in column order, the fewest columns whose move
// makes it as well spread as the topology allows. Columns on reserved disks may stay where they are.
func (Policy) Check(t *Topology, v Volume) []Misplacement {
	var found []Misplacement
	columns := map[int]int{} // disk → column that may stay
	for c, id := range v.Disks {
		i, known := t.find(id)
		_, doubled := columns[i] // meaningless unless known
		switch {
		case !known:
			found = append(found, Misplacement{c, id, WhyLost, "the disk is not registered"})
		case t.disks[i].Health == Lost:
			found = append(found, Misplacement{c, id, WhyLost, "the disk is failed or missing"})
		case t.disks[i].Health == Unreachable:
			found = append(found, Misplacement{c, id, WhyUnreachable, "node " + t.disks[i].Node + " is down"})
		case doubled:
			found = append(found, Misplacement{c, id, WhyDoubled, fmt.Sprintf("column %d lies there too", columns[i])})
		default:
			columns[i] = c
		}
	}
	found = append(found, t.crowded(v.Scheme.N(), columns)...)
	slices.SortFunc(found, func(a, b Misplacement) int { return cmp.Compare(a.Column, b.Column) })
	return found
}

// crowded spreads n columns afresh, preferring among equally good places the disks that hold a column already, and
// returns the columns that found no place. The preference is one more convex cost, so their number is the least.
func (t *Topology) crowded(n int, columns map[int]int) []Misplacement {
	holds := func(i int) bool {
		_, ok := columns[i]
		return ok
	}
	now := newSpread(t.pool(holds))
	for range columns {
		now.next(nil, first)
	}
	ideal := newSpread(t.pool(func(i int) bool { return holds(i) || t.disks[i].Health == Usable }))
	stays := make(map[int]bool, n)
	for range n {
		i, ok := ideal.next(func(i int) int {
			if holds(i) {
				return 0
			}
			return 1
		}, first)
		if ok {
			stays[i] = true
		}
	}
	var found []Misplacement
	for i, c := range columns {
		if !stays[i] {
			found = append(found, Misplacement{c, t.disks[i].ID, WhyCrowded, t.crowd(i, now, ideal)})
		}
	}
	return found
}

// crowd names the widest domain around a disk that holds more columns than it should.
func (t *Topology) crowd(i int, now, ideal *spread) string {
	h, d := t.homes[i], t.disks[i]
	name, has, should := "node "+d.Node, now.nodes[h.node], ideal.nodes[h.node]
	if now.racks[h.rack] > ideal.racks[h.rack] {
		name, has, should = "rack "+d.Rack+" of zone "+d.Zone, now.racks[h.rack], ideal.racks[h.rack]
	}
	if now.zones[h.zone] > ideal.zones[h.zone] {
		name, has, should = "zone "+d.Zone, now.zones[h.zone], ideal.zones[h.zone]
	}
	return fmt.Sprintf("%s holds %d columns, %d would do", name, has, should)
}
