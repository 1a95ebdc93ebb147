package policy

import (
	"cmp"
	"slices"
)

// Health says what a disk may be used for.
type Health int

const (
	// Usable takes new columns.
	Usable Health = iota
	// Reserved keeps the columns it has and takes no new ones: full, read-only, barred, or on a node whose
	// heartbeats are late.
	Reserved
	// Unreachable is on a node that is down: its columns may come back with it.
	Unreachable
	// Lost will not give its columns back: failed or missing.
	Lost
)

// Disk is what the policy knows of one data folder.
type Disk struct {
	// ID is unique in the cluster.
	ID string
	// Zone, Rack and Node are the failure domains around it. Racks of one name in two zones are two racks; node
	// names are unique in the cluster.
	Zone, Rack, Node string
	// Health says whether it may take columns.
	Health Health
	// CapacityBytes and FreeBytes are as the node reports them.
	CapacityBytes, FreeBytes uint64
	// Chunks is how many columns lie on it.
	Chunks uint64
}

// Topology is an immutable snapshot of all registered disks.
type Topology struct {
	disks []Disk // by id
	// homes has, for each disk, the numbers of its domains.
	homes               []home
	zones, racks, nodes int
}

// home numbers the domains around a disk, so that spreading counts in slices.
type home struct{ zone, rack, node int }

// NewTopology takes a copy of the disks. Of two with one id the first counts.
func NewTopology(disks []Disk) *Topology {
	sorted := slices.Clone(disks)
	slices.SortStableFunc(sorted, func(a, b Disk) int { return cmp.Compare(a.ID, b.ID) })
	sorted = slices.CompactFunc(sorted, func(a, b Disk) bool { return a.ID == b.ID })

	t := &Topology{disks: sorted, homes: make([]home, len(sorted))}
	zones, racks, nodes := map[string]int{}, map[[2]string]int{}, map[string]int{}
	for i, d := range sorted {
		t.homes[i] = home{
			zone: number(zones, d.Zone),
			rack: number(racks, [2]string{d.Zone, d.Rack}),
			node: number(nodes, d.Node),
		}
	}
	t.zones, t.racks, t.nodes = len(zones), len(racks), len(nodes)
	return t
}

// number gives each new name the next number.
func number[K comparable](seen map[K]int, name K) int {
	n, ok := seen[name]
	if !ok {
		n = len(seen)
		seen[name] = n
	}
	return n
}

// Without returns the topology with these disks reserved if they were usable. Unknown ids do nothing.
func (t *Topology) Without(ids ...string) *Topology {
	without := *t
	without.disks = slices.Clone(t.disks)
	for _, id := range ids {
		if i, ok := t.find(id); ok && without.disks[i].Health == Usable {
			without.disks[i].Health = Reserved
		}
	}
	return &without
}

// find returns the index of a disk.
func (t *Topology) find(id string) (int, bool) {
	return slices.BinarySearchFunc(t.disks, id, func(d Disk, id string) int { return cmp.Compare(d.ID, id) })
}

// Registered is every disk, whatever its health.
func (t *Topology) Registered() Pool {
	return t.pool(func(int) bool { return true })
}

// Healthy is every usable disk.
func (t *Topology) Healthy() Pool {
	return t.pool(func(i int) bool { return t.disks[i].Health == Usable })
}

func (t *Topology) pool(keep func(disk int) bool) Pool {
	p := Pool{topology: t}
	for i := range t.disks {
		if keep(i) {
			p.disks = append(p.disks, i)
		}
	}
	return p
}

// Pool is the part of a topology that a question is about.
type Pool struct {
	topology *Topology
	disks    []int // indices in the topology
}

// Disks counts the pool.
func (p Pool) Disks() int { return len(p.disks) }

// Nodes counts the nodes that have a disk in the pool.
func (p Pool) Nodes() int {
	return p.count(func(h home) int { return h.node })
}

// Zones counts the zones that have a disk in the pool.
func (p Pool) Zones() int {
	return p.count(func(h home) int { return h.zone })
}

func (p Pool) count(domain func(home) int) int {
	seen := map[int]struct{}{}
	for _, i := range p.disks {
		seen[domain(p.topology.homes[i])] = struct{}{}
	}
	return len(seen)
}
