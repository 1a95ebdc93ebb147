package policy

import (
	"testing"

	"pgregory.net/rapid"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/kit/fault"
)

func TestForWrite(t *testing.T) {
	for _, c := range []struct {
		name   string
		disks  *Topology
		wanted string
		gone   []string // prefixes of disks
		floor  string
		want   string // "" for NOT_ENOUGH_DISKS
	}{
		{name: "nine nodes", disks: grid(1, 3, 3, 3), wanted: "rs-5-4", floor: "one zone and one disk", want: "rs-5-4"},
		{name: "a node down", disks: grid(1, 3, 3, 3), wanted: "rs-5-4", gone: []string{"z1-n1"}, floor: "one zone and one disk", want: "rs-4-4"},
		{name: "two nodes of two zones down", disks: grid(1, 3, 3, 3), wanted: "rs-5-4", gone: []string{"z1-n1", "z2-n0"}, floor: "one zone and one disk", want: "rs-3-3"},
		{name: "a zone down", disks: grid(1, 3, 3, 3), wanted: "rs-5-4", gone: []string{"z1"}, floor: "one zone and one disk", want: "rs-2-4"},
		{name: "a zone and a node down", disks: grid(1, 3, 3, 3), wanted: "rs-5-4", gone: []string{"z1", "z0-n0"}, floor: "one zone and one disk", want: "rs-1-3"},
		{name: "two zones with one node each", disks: grid(1, 3, 3, 3), wanted: "rs-5-4", gone: []string{"z1", "z0-n0", "z0-n1", "z2-n0", "z2-n1"}, floor: "one zone and one disk"},
		{name: "one zone left", disks: grid(1, 3, 3, 3), wanted: "rs-5-4", gone: []string{"z1", "z0"}, floor: "one zone and one disk"},
		{name: "twelve nodes, a zone down: the wanted scheme has the disks but not the floor", disks: grid(1, 5, 5, 5), wanted: "rs-5-4", gone: []string{"z2"}, floor: "one zone and one disk", want: "rs-3-5"},
		{name: "twelve nodes, a node down", disks: grid(1, 4, 4, 4), wanted: "rs-5-4", gone: []string{"z2-n0"}, floor: "one zone and one disk", want: "rs-5-4"},
		{name: "the floor is what the scheme gives", disks: grid(1, 2, 2, 2), wanted: "rs-4-2", floor: "one zone", want: "rs-4-2"},
		{name: "rs-4-2, a node down", disks: grid(1, 2, 2, 2), wanted: "rs-4-2", gone: []string{"z0-n0"}, floor: "one zone", want: "rs-2-1"},
		{name: "rs-4-2, a zone down", disks: grid(1, 2, 2, 2), wanted: "rs-4-2", gone: []string{"z0"}, floor: "one zone", want: "rs-2-2"},
		{name: "rs-4-2 in one zone, a node down", disks: grid(1, 6), wanted: "rs-4-2", gone: []string{"z0-n0"}, floor: "one disk", want: "rs-4-1"},
		{name: "wider than wanted if nothing else keeps the floor", disks: grid(2, 1, 1, 1), wanted: "rs-1-2", gone: []string{"z0"}, floor: "one zone and one disk", want: "rs-1-3"},
		{name: "six zones survive two", disks: grid(1, 1, 1, 1, 1, 1, 1), wanted: "rs-4-2", floor: "one zone and one disk", want: "rs-4-2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wanted, err := erasure.Parse(c.wanted)
			if err != nil {
				t.Fatal(err)
			}
			topology := c.disks
			for _, prefix := range c.gone {
				topology = topology.Without(ids(topology, prefix)...)
			}
			got, floor, err := Policy{}.ForWrite(topology, wanted)
			if floor.String() != c.floor {
				t.Errorf("floor: %s, want %s", floor, c.floor)
			}
			if c.want == "" {
				if fault.Reason(err) != typesv1.Reason_REASON_NOT_ENOUGH_DISKS {
					t.Errorf("got %s, %v; want NOT_ENOUGH_DISKS", got, err)
				}
				return
			}
			if err != nil || got.String() != c.want {
				t.Errorf("got %s, %v; want %s", got, err, c.want)
			}
		})
	}
}

func TestForWriteRefusesWhatIsNotRegistered(t *testing.T) {
	_, _, err := Policy{}.ForWrite(grid(1, 3, 3, 3), erasure.Scheme{K: 8, M: 4})
	if fault.Reason(err) != typesv1.Reason_REASON_SCHEME_DOES_NOT_FIT {
		t.Errorf("got %v, want SCHEME_DOES_NOT_FIT", err)
	}
}

// TestForWriteKeepsTheFloor loses the widest zone and the widest node of what Pick makes of the answer, and checks
// that no scheme that is cheaper, and no wider than what was wanted, keeps the floor.
func TestForWriteKeepsTheFloor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		topology := drawTopology(t, 16)
		wanted := drawScheme(t, len(topology.disks))
		floor, err := Floor(wanted, topology.Registered())
		if err != nil {
			t.Skip("does not fit")
		}
		scheme, err := Fallback(wanted, floor, topology.Healthy())
		if err != nil {
			if other := cheapestByPick(topology, floor, erasure.MaxK+erasure.MaxM); other != (erasure.Scheme{}) {
				t.Fatalf("refused, but %s keeps %s", other, floor)
			}
			return
		}
		if !keptByPick(topology, scheme, floor) {
			t.Fatalf("%s does not keep %s", scheme, floor)
		}
		if keptByPick(topology, wanted, floor) {
			if scheme != wanted {
				t.Fatalf("%s, but the wanted %s would do", scheme, wanted)
			}
			return
		}
		best := cheapestByPick(topology, floor, wanted.N())
		if best == (erasure.Scheme{}) {
			best = cheapestByPick(topology, floor, erasure.MaxK+erasure.MaxM)
		}
		if scheme != best {
			t.Fatalf("%s, but %s is cheaper or safer", scheme, best)
		}
	})
}

// keptByPick judges a scheme by disks that Pick chose, not by shapes.
func keptByPick(t *Topology, scheme erasure.Scheme, floor Promise) bool {
	disks, err := Policy{}.Pick(t, scheme, 1)
	if err != nil {
		return false
	}
	p := profile(disks)
	return p[0][0]*floor.Zones+floor.Disks <= scheme.M && p[2][0] <= scheme.M
}

func cheapestByPick(t *Topology, floor Promise, columns int) erasure.Scheme {
	var best erasure.Scheme
	for k := 1; k <= erasure.MaxK; k++ {
		for m := 1; m <= erasure.MaxM && k+m <= min(columns, t.Healthy().Disks()); m++ {
			s := erasure.Scheme{K: k, M: m}
			if !keptByPick(t, s, floor) {
				continue
			}
			cost, bestCost := float64(s.N())/float64(s.K), float64(best.N())/float64(max(best.K, 1))
			if best.K == 0 || cost < bestCost-1e-9 || cost < bestCost+1e-9 && s.M > best.M {
				best = s
			}
		}
	}
	return best
}

func TestDefault(t *testing.T) {
	for _, c := range []struct {
		name     string
		topology *Topology
		want     string
	}{
		{"three zones of three", grid(1, 3, 3, 3), "rs-5-4"},
		{"three zones of twenty", grid(1, 20, 20, 20), "rs-5-4"},
		{"four zones", grid(1, 4, 4, 4, 4), "rs-5-4"},
		{"three nodes of three disks in three zones", grid(3, 1, 1, 1), "rs-5-4"},
		{"three zones of two", grid(1, 2, 2, 2), "rs-3-3"},
		{"three zones of one", grid(1, 1, 1, 1), "rs-1-2"},
		{"nine nodes, one zone far wider", grid(1, 7, 1, 1), "rs-1-2"},
		{"two zones of three", grid(1, 3, 3), "rs-2-4"},
		{"two zones of one", grid(1, 1, 1), "rs-1-1"},
		{"one zone of nine", grid(1, 9), "rs-4-2"},
		{"one zone of six", grid(1, 6), "rs-4-2"},
		{"one zone of four", grid(1, 4), "rs-3-1"},
		{"one zone of three", grid(1, 3), "rs-2-1"},
		{"one zone of two", grid(1, 2), "rs-1-1"},
		{"three nodes of two disks in one zone", grid(2, 3), "rs-4-2"},
		{"one node", grid(4, 1), ""},
		{"nothing", NewTopology(nil), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Default(c.topology.Registered())
			if c.want == "" {
				if fault.Reason(err) != typesv1.Reason_REASON_SCHEME_DOES_NOT_FIT {
					t.Errorf("got %s, %v; want SCHEME_DOES_NOT_FIT", got, err)
				}
				return
			}
			if err != nil || got.String() != c.want {
				t.Errorf("got %s, %v; want %s", got, err, c.want)
			}
		})
	}
}

func TestCapacity(t *testing.T) {
	const gib, mib = 1 << 30, 1 << 20
	for _, c := range []struct {
		name   string
		scheme erasure.Scheme
		volume uint64
		disks  []uint64 // capacities
		want   uint64
	}{
		{"large disks: 204 whole stripes of 5 MiB", erasure.Scheme{K: 5, M: 4}, gib, []uint64{1 << 44, 1 << 44}, 1020 * mib},
		{"divides evenly", erasure.Scheme{K: 4, M: 2}, gib, []uint64{1 << 44}, gib},
		{"the smallest disk decides", erasure.Scheme{K: 4, M: 2}, gib, []uint64{1 << 44, 2 * gib}, 128 * mib},
		{"at least 16 stripes", erasure.Scheme{K: 5, M: 4}, gib, []uint64{mib}, 80 * mib},
		{"no capacity known", erasure.Scheme{K: 2, M: 1}, gib, []uint64{0}, 32 * mib},
		{"64 GiB", erasure.Scheme{K: 8, M: 4}, 64 * gib, []uint64{1 << 44}, 64 * gib},
	} {
		t.Run(c.name, func(t *testing.T) {
			disks := make([]Disk, len(c.disks))
			for i, bytes := range c.disks {
				disks[i].CapacityBytes = bytes
			}
			if got := (Policy{VolumeBytes: c.volume}).Capacity(c.scheme, disks); got != c.want {
				t.Errorf("%d MiB, want %d", got/mib, c.want/mib)
			}
		})
	}
}
