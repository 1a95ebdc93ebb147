package policy

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/drystone-store/drystone/services/datapath/erasure"
)

func TestCheckAcceptsWhatPickChose(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		topology := drawTopology(t, 40)
		scheme := drawScheme(t, min(48, len(usable(topology))))
		disks, err := Policy{}.Pick(topology, scheme, rapid.Uint64().Draw(t, "seed"))
		if err != nil {
			t.Skip("too few disks")
		}
		if found := (Policy{}).Check(topology, Volume{Scheme: scheme, Disks: diskIDs(disks)}); len(found) != 0 {
			t.Fatalf("misplaced after Pick: %+v", found)
		}
	})
}

// TestCheckMovesTheFewest compares with every choice of columns that might stay.
func TestCheckMovesTheFewest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		topology := drawTopology(t, 9)
		all := topology.disks
		scheme := drawScheme(t, len(all))
		if scheme.N() > len(all) {
			t.Skip("too few disks")
		}
		order := rapid.Permutation(diskIDs(all)).Draw(t, "disks")[:scheme.N()]
		found := Policy{}.Check(topology, Volume{Scheme: scheme, Disks: order})

		crowded := 0
		for _, m := range found {
			d := topology.disks[slices.Index(diskIDs(all), m.Disk)]
			if bad := d.Health == Lost || d.Health == Unreachable; bad == (m.Why == WhyCrowded) {
				t.Fatalf("disk %+v: %+v", d, m)
			}
			if m.Why == WhyCrowded {
				crowded++
			}
		}
		if want := fewestMoves(topology, order, scheme.N()); crowded != want {
			t.Fatalf("%d columns to move, %d would do", crowded, want)
		}
	})
}

// fewestMoves is the oracle: of all best spreads of n, the one that shares most disks with the volume.
func fewestMoves(t *Topology, volume []string, n int) int {
	var pool []Disk
	held := 0
	for _, d := range t.disks {
		holds := slices.Contains(volume, d.ID) && (d.Health == Usable || d.Health == Reserved)
		if holds {
			held++
		}
		if holds || d.Health == Usable {
			pool = append(pool, d)
		}
	}
	n = min(n, len(pool))
	best := bestProfile(pool, n)
	most := 0
	for set := range 1 << len(pool) {
		var chosen []Disk
		stay := 0
		for i, d := range pool {
			if set>>i&1 == 1 {
				chosen = append(chosen, d)
				if slices.Contains(volume, d.ID) {
					stay++
				}
			}
		}
		if len(chosen) == n && stay > most && comparePerLevel(profile(chosen), best) == 0 {
			most = stay
		}
	}
	return held - most
}

func TestCheckSaysWhy(t *testing.T) {
	scheme := erasure.Scheme{K: 2, M: 1}
	healthy := func() []Disk { return gridDisks(2, 2, 2, 2) }
	with := func(id string, h Health) *Topology {
		disks := healthy()
		for i := range disks {
			if disks[i].ID == id {
				disks[i].Health = h
			}
		}
		return NewTopology(disks)
	}
	spread := []string{"z0-n0-d0", "z1-n0-d0", "z2-n0-d0"}

	for _, c := range []struct {
		name     string
		topology *Topology
		disks    []string
		want     []Misplacement
	}{
		{name: "well placed", topology: NewTopology(healthy()), disks: spread},
		{name: "on a full disk it may stay", topology: with("z1-n0-d0", Reserved), disks: spread},
		{
			name: "disk failed", topology: with("z1-n0-d0", Lost), disks: spread,
			want: []Misplacement{{1, "z1-n0-d0", WhyLost, "the disk is failed or missing"}},
		},
		{
			name: "disk never registered", topology: NewTopology(healthy()), disks: []string{"z0-n0-d0", "z1-n0-d0", "x"},
			want: []Misplacement{{2, "x", WhyLost, "the disk is not registered"}},
		},
		{
			name: "node down", topology: with("z2-n0-d0", Unreachable), disks: spread,
			want: []Misplacement{{2, "z2-n0-d0", WhyUnreachable, "node z2-n0 is down"}},
		},
		{
			name: "two columns on one disk", topology: NewTopology(healthy()),
			disks: []string{"z0-n0-d0", "z0-n0-d0", "z2-n0-d0"},
			want:  []Misplacement{{1, "z0-n0-d0", WhyDoubled, "column 0 lies there too"}},
		},
		{
			name: "two columns in one zone", topology: NewTopology(healthy()),
			disks: []string{"z0-n0-d0", "z0-n1-d0", "z2-n0-d0"},
			want:  []Misplacement{{1, "z0-n1-d0", WhyCrowded, "zone z0 holds 2 columns, 1 would do"}},
		},
		{
			name: "two columns on one node", topology: grid(2, 3),
			disks: []string{"z0-n0-d0", "z0-n0-d1", "z0-n1-d0"},
			want:  []Misplacement{{1, "z0-n0-d1", WhyCrowded, "rack r0 of zone z0 holds 2 columns, 1 would do"}},
		},
		{
			name: "a lost and a crowded column", topology: with("z0-n0-d0", Lost),
			disks: []string{"z0-n0-d0", "z1-n0-d0", "z1-n0-d1"},
			want: []Misplacement{
				{0, "z0-n0-d0", WhyLost, "the disk is failed or missing"},
				{2, "z1-n0-d1", WhyCrowded, "zone z1 holds 2 columns, 1 would do"},
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Policy{}.Check(c.topology, Volume{Scheme: scheme, Disks: c.disks})
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("misplacements (-want +got):\n%s", diff)
			}
		})
	}
}
