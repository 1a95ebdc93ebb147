package drystone

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/drystone/internal/datadir"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/placement"
)

const topologyFile = "topology.json"

// Topology is what a data folder was laid out for. It is recorded before anything is built on it: a node keeps its
// place for life, because volumes were spread by it.
type Topology struct {
	Nodes []Node `json:"nodes"`
}

// Node is one chunk-server of the process.
type Node struct {
	Name string `json:"name"`
	Zone string `json:"zone"`
	Rack string `json:"rack"`
	// Disks it has, named disk0, disk1 and so on.
	Disks int `json:"disks"`
}

// racksPerZone makes the smallest topology in which racks mean something.
const racksPerZone = 2

// minNodes is the least on which any scheme survives the loss of a node.
const minNodes = 2

// plan lays a topology out, or grows the one that old is. What cfg leaves open stays as it was, and on a fresh folder
// takes the defaults. Errors: a FlagError.
func plan(old Topology, cfg Config) (Topology, error) {
	had := len(old.Nodes) > 0
	nodes := cmp.Or(cfg.Nodes, len(old.Nodes), DefaultNodes)
	zones := cmp.Or(cfg.Zones, old.zones(), min(DefaultZones, nodes))
	disks := cmp.Or(cfg.Disks, old.disks(), DefaultDisks)
	switch {
	case nodes < minNodes:
		return Topology{}, flagErrorf("--nodes %d: two nodes are the least, because what lies on one is lost with it", nodes)
	case nodes < zones:
		return Topology{}, flagErrorf("%d zones need at least as many nodes, not %d: change --zones or --nodes", zones, nodes)
	case had && nodes < len(old.Nodes):
		return Topology{}, flagErrorf("the data folder has %d nodes and --nodes says %d: their chunks would be lost; "+
			"leave --nodes out, or use a fresh --data folder", len(old.Nodes), nodes)
	case had && zones < old.zones():
		return Topology{}, flagErrorf("the data folder has %d zones and --zones says %d: a node keeps its zone for life; "+
			"leave --zones out, or use a fresh --data folder", old.zones(), zones)
	case had && zones > old.zones() && nodes-len(old.Nodes) < zones-old.zones():
		return Topology{}, flagErrorf("--zones %d makes %d new zones and no node may move: add at least as many nodes "+
			"(the data folder has %d)", zones, zones-old.zones(), len(old.Nodes))
	case had && disks < old.disks():
		return Topology{}, flagErrorf("the data folder has %d disks a node and --disks says %d: their chunks would be lost; "+
			"leave --disks out, or use a fresh --data folder", old.disks(), disks)
	}
	next := Topology{Nodes: slices.Clone(old.Nodes)}
	for i := range next.Nodes {
		next.Nodes[i].Disks = disks
	}
	for i := len(next.Nodes); i < nodes; i++ {
		zone, members := next.emptiest(zones)
		next.Nodes = append(next.Nodes, Node{
			Name:  fmt.Sprintf("node-%d", i+1),
			Zone:  zone,
			Rack:  fmt.Sprintf("%s-r%d", zone, members%racksPerZone+1),
			Disks: disks,
		})
	}
	return next, nil
}

// judge refuses a scheme that the topology could not keep even with every disk healthy; empty is whatever fits best.
// Errors: a FlagError that says what fits instead.
func (t Topology) judge(scheme string) error {
	if scheme == "" {
		return nil
	}
	wanted, err := erasure.Parse(scheme)
	if err != nil {
		return fmt.Errorf("--scheme: %w", err)
	}
	var disks []*typesv1.Place
	for _, n := range t.Nodes {
		for range n.Disks {
			disks = append(disks, &typesv1.Place{Zone: n.Zone, Rack: n.Rack, Node: n.Name})
		}
	}
	best, err := placement.Judge(wanted, disks)
	if err == nil {
		return nil
	}
	why := fault.From(err).Message()
	if best == (erasure.Scheme{}) {
		return flagErrorf("--scheme %s does not fit %s: %s", scheme, t, why)
	}
	return flagErrorf("--scheme %s does not fit %s: %s. Leave --scheme out for %s, the best that fits, or give more --nodes "+
		"or --disks", scheme, t, why, best)
}

// emptiest names the zone with the fewest nodes, the first of several, and says how many it has.
func (t Topology) emptiest(zones int) (name string, members int) {
	count := make([]int, zones)
	for z := range zones {
		for _, n := range t.Nodes {
			if n.Zone == zoneName(z) {
				count[z]++
			}
		}
	}
	members = slices.Min(count)
	return zoneName(slices.Index(count, members)), members
}

func zoneName(z int) string { return fmt.Sprintf("z%d", z+1) }

func (t Topology) zones() int {
	seen := map[string]bool{}
	for _, n := range t.Nodes {
		seen[n.Zone] = true
	}
	return len(seen)
}

// String describes a topology: "9 nodes in 3 zones".
func (t Topology) String() string {
	s := fmt.Sprintf("%d nodes in %d zones", len(t.Nodes), t.zones())
	if t.zones() == 1 {
		s = fmt.Sprintf("%d nodes in one zone", len(t.Nodes))
	}
	if t.disks() > 1 {
		s += fmt.Sprintf(", %d disks each", t.disks())
	}
	return s
}

func (t Topology) disks() int {
	if len(t.Nodes) == 0 {
		return 0
	}
	return t.Nodes[0].Disks
}

func (t Topology) allDisks() int {
	n := 0
	for _, node := range t.Nodes {
		n += node.Disks
	}
	return n
}

func loadTopology(dir datadir.Dir) (Topology, error) {
	var t Topology
	raw, err := os.ReadFile(dir.Path(topologyFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return t, nil
	case err != nil:
		return t, fmt.Errorf("read the topology: %w", err)
	}
	if err := json.Unmarshal(raw, &t); err != nil {
		return t, fmt.Errorf("read the topology in %s: %w", dir.Path(topologyFile), err)
	}
	return t, nil
}

func saveTopology(dir datadir.Dir, t Topology) error {
	raw, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return fmt.Errorf("write the topology: %w", err)
	}
	return dir.WriteFile(topologyFile, append(raw, '\n'), 0o600)
}
