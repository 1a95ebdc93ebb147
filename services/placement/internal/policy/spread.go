package policy

import (
	"cmp"
	"slices"
)

// spread chooses disks of a pool one at a time, each where zone, then rack, then node hold fewest of those chosen so
// far. The cost that this minimises (zones first, then racks, then nodes, each convex) is laminar, and for laminar
// convex costs the greedy choice is the best one at every count, whatever the ties.
// That gives rule 2, and lets shapes take every count from one pass.
type spread struct {
	pool  Pool
	zones []int
	racks []int
	nodes []int
	taken []bool // by position in the pool
}

func newSpread(p Pool) *spread {
	return &spread{
		pool:  p,
		zones: make([]int, p.topology.zones),
		racks: make([]int, p.topology.racks),
		nodes: make([]int, p.topology.nodes),
		taken: make([]bool, len(p.disks)),
	}
}

// rank is how crowded a place is already; lower is better. `last` decides among equals before a tie is called.
type rank struct{ zone, rack, node, last int }

func (r rank) compare(o rank) int {
	return cmp.Or(
		cmp.Compare(r.zone, o.zone), cmp.Compare(r.rack, o.rack), cmp.Compare(r.node, o.node),
		cmp.Compare(r.last, o.last),
	)
}

// next takes the disk that choose names among the equally good ones and returns its index in the topology. last may
// be nil. It is false once the pool is empty.
func (s *spread) next(last func(disk int) int, choose func(ties []int) int) (int, bool) {
	var best rank
	var ties, positions []int
	for at, i := range s.pool.disks {
		if s.taken[at] {
			continue
		}
		h := s.pool.topology.homes[i]
		r := rank{zone: s.zones[h.zone], rack: s.racks[h.rack], node: s.nodes[h.node]}
		if last != nil {
			r.last = last(i)
		}
		order := r.compare(best)
		if len(ties) == 0 || order < 0 {
			best, ties, positions = r, ties[:0], positions[:0]
		} else if order > 0 {
			continue
		}
		ties, positions = append(ties, i), append(positions, at)
	}
	if len(ties) == 0 {
		return 0, false
	}
	chosen := choose(ties)
	h := s.pool.topology.homes[ties[chosen]]
	s.zones[h.zone]++
	s.racks[h.rack]++
	s.nodes[h.node]++
	s.taken[positions[chosen]] = true
	return ties[chosen], true
}

// first breaks ties by id.
func first([]int) int { return 0 }

// shape is what a spread looks like.
type shape struct {
	// zones has the columns of each zone, widest first.
	zones []int
	// widestNode is the most columns on one node; node names one that has them.
	widestNode int
	node       string
}

// shapes has, at index n, what Pick makes of n columns: all counts from 0 to min(limit, disks).
func (p Pool) shapes(limit int) []shape {
	limit = min(limit, len(p.disks))
	s := newSpread(p)
	all := make([]shape, 1, limit+1)
	for range limit {
		i, ok := s.next(nil, first)
		if !ok {
			break
		}
		before := all[len(all)-1]
		now := shape{zones: slices.Clone(s.zones), widestNode: before.widestNode, node: before.node}
		slices.SortFunc(now.zones, func(a, b int) int { return b - a })
		if on := s.nodes[p.topology.homes[i].node]; on > now.widestNode {
			now.widestNode, now.node = on, p.topology.disks[i].Node
		}
		all = append(all, now)
	}
	return all
}
