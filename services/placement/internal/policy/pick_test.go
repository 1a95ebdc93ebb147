package policy

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/kit/fault"
)

func diskIDs(disks []Disk) []string {
	found := make([]string, len(disks))
	for i, d := range disks {
		found[i] = d.ID
	}
	return found
}

// profile is what rule 2 minimises: columns of zones, racks and nodes, each widest first.
func profile(disks []Disk) [3][]int {
	var counts [3]map[string]int
	for i := range counts {
		counts[i] = map[string]int{}
	}
	for _, d := range disks {
		counts[0][d.Zone]++
		counts[1][d.Zone+"/"+d.Rack]++
		counts[2][d.Node]++
	}
	var p [3][]int
	for i, domain := range counts {
		for _, n := range domain {
			p[i] = append(p[i], n)
		}
		slices.SortFunc(p[i], func(a, b int) int { return b - a })
	}
	return p
}

func comparePerLevel(a, b [3][]int) int {
	for level := range a {
		if c := slices.Compare(a[level], b[level]); c != 0 {
			return c
		}
	}
	return 0
}

// bestProfile is the oracle of rule 2: it looks at every choice of n disks.
func bestProfile(disks []Disk, n int) [3][]int {
	var best [3][]int
	found := false
	for set := range 1 << len(disks) {
		var chosen []Disk
		for i, d := range disks {
			if set>>i&1 == 1 {
				chosen = append(chosen, d)
			}
		}
		if len(chosen) != n {
			continue
		}
		if p := profile(chosen); !found || comparePerLevel(p, best) < 0 {
			best, found = p, true
		}
	}
	return best
}

func usable(t *Topology) []Disk {
	var disks []Disk
	for _, d := range t.disks {
		if d.Health == Usable {
			disks = append(disks, d)
		}
	}
	return disks
}

func drawScheme(t *rapid.T, limit int) erasure.Scheme {
	k := rapid.IntRange(1, max(1, limit-1)).Draw(t, "k")
	return erasure.Scheme{K: k, M: rapid.IntRange(1, max(1, min(limit-k, erasure.MaxM))).Draw(t, "m")}
}

func TestPickSpreadsAsWellAsAnyChoice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		topology := drawTopology(t, 11)
		healthy := usable(topology)
		scheme := drawScheme(t, len(healthy)+1)
		got, err := Policy{}.Pick(topology, scheme, rapid.Uint64().Draw(t, "seed"))
		if scheme.N() > len(healthy) {
			if fault.Reason(err) != typesv1.Reason_REASON_NOT_ENOUGH_DISKS {
				t.Fatalf("%d disks for %s: %v, want NOT_ENOUGH_DISKS", len(healthy), scheme, err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if want := bestProfile(healthy, scheme.N()); comparePerLevel(profile(got), want) != 0 {
			t.Fatalf("zones, racks, nodes: %v, the best choice has %v", profile(got), want)
		}
	})
}

func TestPickTakesEachDiskOnceAndOnlyUsableOnes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		topology := drawTopology(t, 60)
		scheme := drawScheme(t, min(48, len(usable(topology))))
		got, err := Policy{}.Pick(topology, scheme, rapid.Uint64().Draw(t, "seed"))
		if err != nil {
			t.Skip("too few disks")
		}
		if len(got) != scheme.N() {
			t.Fatalf("%d disks for %s", len(got), scheme)
		}
		seen := map[string]bool{}
		for _, d := range got {
			if seen[d.ID] {
				t.Fatalf("disk %s twice", d.ID)
			}
			seen[d.ID] = true
			if d.Health != Usable {
				t.Fatalf("disk %s is not usable", d.ID)
			}
		}
	})
}

func TestPickSpreadsDataLikeTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		topology := drawTopology(t, 11)
		scheme := drawScheme(t, len(usable(topology)))
		got, err := Policy{}.Pick(topology, scheme, rapid.Uint64().Draw(t, "seed"))
		if err != nil {
			t.Skip("too few disks")
		}
		if want := bestProfile(got, scheme.K); comparePerLevel(profile(got[:scheme.K]), want) != 0 {
			t.Fatalf("data columns lie %v, could lie %v", profile(got[:scheme.K]), want)
		}
	})
}

func TestPickIsOneAnswerPerSeed(t *testing.T) {
	topology, scheme := grid(4, 5, 5, 5), erasure.Scheme{K: 5, M: 4}
	var first []string
	different := false
	for seed := range uint64(20) {
		a, err := Policy{}.Pick(topology, scheme, seed)
		if err != nil {
			t.Fatal(err)
		}
		b, err := Policy{}.Pick(topology, scheme, seed)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(diskIDs(a), diskIDs(b)); diff != "" {
			t.Fatalf("seed %d, two answers:\n%s", seed, diff)
		}
		if seed == 0 {
			first = diskIDs(a)
		}
		different = different || !slices.Equal(first, diskIDs(a))
	}
	if !different {
		t.Error("20 seeds gave one answer")
	}
}

func TestPickGivesEachDiskDataAndParity(t *testing.T) {
	const volumes = 2000
	topology, scheme := grid(1, 3, 3, 3), erasure.Scheme{K: 5, M: 4}
	data := map[string]int{}
	for seed := range uint64(volumes) {
		disks, err := Policy{}.Pick(topology, scheme, seed)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range disks[:scheme.K] {
			data[d.ID]++
		}
	}
	// Each of nine disks should hold data in five ninths of the volumes: 1,111, deviation 22.
	for _, d := range topology.disks {
		if n := data[d.ID]; n < 1000 || n > 1220 {
			t.Errorf("disk %s holds data in %d of %d volumes, want about 1111", d.ID, n, volumes)
		}
	}
}

func TestPickWeighsFreeBytes(t *testing.T) {
	disks := gridDisks(1, 12)
	for i := range disks {
		disks[i].FreeBytes = diskBytes / 10
	}
	disks[0].FreeBytes = diskBytes
	chosen := pickCounts(t, NewTopology(disks), 1000)
	if big, small := chosen[disks[0].ID], chosen[disks[5].ID]; big < 2*small {
		t.Errorf("ten times as much free: chosen %d times, others %d times", big, small)
	}
}

func TestPickPrefersDisksWithFewChunks(t *testing.T) {
	disks := gridDisks(1, 12)
	for i := range disks {
		disks[i].Chunks = 1000
	}
	disks[0].Chunks = 10
	chosen := pickCounts(t, NewTopology(disks), 1000)
	if few, many := chosen[disks[0].ID], chosen[disks[5].ID]; 2*few < 3*many {
		t.Errorf("the disk with few chunks: chosen %d times, others %d times", few, many)
	}
}

func pickCounts(t *testing.T, topology *Topology, volumes uint64) map[string]int {
	t.Helper()
	chosen := map[string]int{}
	for seed := range volumes {
		disks, err := Policy{}.Pick(topology, erasure.Scheme{K: 2, M: 1}, seed)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range disks {
			chosen[d.ID]++
		}
	}
	return chosen
}

func BenchmarkPick(b *testing.B) {
	topology := grid(12, 30, 30, 30)
	for b.Loop() {
		if _, err := (Policy{}).Pick(topology, erasure.Scheme{K: 8, M: 4}, 1); err != nil {
			b.Fatal(err)
		}
	}
}
