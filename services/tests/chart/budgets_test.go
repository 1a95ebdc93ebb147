package chart

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	policyv1 "k8s.io/api/policy/v1"
)

// budget is maxUnavailable of a component's PodDisruptionBudget.
func budget(t testing.TB, component string, args ...string) string {
	t.Helper()
	for _, b := range of[policyv1.PodDisruptionBudget](t, objects(t, render(t, args...)), "PodDisruptionBudget") {
		if b.Labels["app.kubernetes.io/component"] == component {
			return b.Spec.MaxUnavailable.String()
		}
	}
	t.Fatalf("%s has no budget", component)
	return ""
}

// TestBudgets: a zone's chunk-servers may be drained, and never more than every volume can do without.
func TestBudgets(t *testing.T) {
	for name, tt := range map[string]struct{ set, component, want string }{
		"nine of rs-5-4: a zone of three":            {"chunkserver.replicas=9", "chunkserver", "3"},
		"twelve of rs-5-4: a zone of four":           {"chunkserver.replicas=12", "chunkserver", "4"},
		"thirty of rs-5-4: a zone is more than m":    {"chunkserver.replicas=30", "chunkserver", "4"},
		"six of rs-4-2: a zone of two":               {"chunkserver.replicas=6,scheme=rs-4-2", "chunkserver", "2"},
		"three of rs-2-1: one":                       {"chunkserver.replicas=3,scheme=rs-2-1", "chunkserver", "1"},
		"three disks each, a column each":            {"chunkserver.disksPerNode=3", "chunkserver", "3"},
		"six with two disks: two columns each":       {"chunkserver.replicas=6,chunkserver.disksPerNode=2", "chunkserver", "2"},
		"three with three disks: three columns each": {"chunkserver.replicas=3,chunkserver.disksPerNode=3", "chunkserver", "1"},
		"a bucket of rs-4-2":                         {"chunkserver.leastParity=2", "chunkserver", "2"},
		"least parity that is the default's":         {"chunkserver.leastParity=4", "chunkserver", "3"},
		"as said":                                    {"chunkserver.maxUnavailable=1", "chunkserver", "1"},
		"none, as said":                              {"chunkserver.maxUnavailable=0", "chunkserver", "0"},
		"a share, as said":                           {"chunkserver.maxUnavailable=10%", "chunkserver", "10%"},
		"more than volumes can do without, as said":  {"chunkserver.replicas=15,chunkserver.maxUnavailable=5", "chunkserver", "5"},
		"too full, but said":                         {"chunkserver.replicas=6,chunkserver.disksPerNode=2,chunkserver.leastParity=1,chunkserver.maxUnavailable=1", "chunkserver", "1"},
		"three members of etcd: one":                 {"etcd.replicas=3", "etcd", "1"},
		"five members of etcd: two":                  {"etcd.replicas=5", "etcd", "2"},
		"one member: it may go, or nothing drains":   {"etcd.replicas=1", "etcd", "1"},
		"a minority in percent":                      {"etcd.replicas=5,etcd.maxUnavailable=40%", "etcd", "40%"},
		"no member, as said":                         {"etcd.maxUnavailable=0", "etcd", "0"},
		"front-doors: one":                           {"frontdoor.replicas=5", "frontdoor", "1"},
		"no front-door, as said":                     {"frontdoor.maxUnavailable=0", "frontdoor", "0"},
		"half of the front-doors, as said":           {"frontdoor.maxUnavailable=50%", "frontdoor", "50%"},
		"no metadata, as said":                       {"metadata.maxUnavailable=0", "metadata", "0"},
		"no placement, as said":                      {"placement.maxUnavailable=0", "placement", "0"},
		"no repair, as said":                         {"repair.maxUnavailable=0", "repair", "0"},
		"not said at all":                            {"metadata.maxUnavailable=null", "metadata", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := budget(t, tt.component, "--set", tt.set); got != tt.want {
				t.Errorf("maxUnavailable %s, want %s", got, tt.want)
			}
		})
	}
}

// TestBudgetLeavesVolumesReadable spreads volumes over stores of three zones as placement does, and takes away the chunk-servers
// that hold most.
func TestBudgetLeavesVolumesReadable(t *testing.T) {
	for _, tt := range []struct{ replicas, disks, k, m int }{
		{9, 1, 5, 4},
		{9, 4, 5, 4},
		{10, 4, 6, 4},
		{30, 2, 5, 4},
		{12, 4, 7, 5},
		// Fewer chunk-servers than columns: some hold two or more.
		{8, 2, 5, 4},
		{6, 2, 5, 4},
		{5, 2, 5, 4},
		{4, 3, 5, 4},
		{3, 3, 5, 4},
		{2, 4, 4, 4},
		{9, 2, 10, 5},
		{9, 4, 10, 5},
		{9, 4, 12, 6},
		{11, 3, 12, 8},
		{15, 4, 16, 8},
		{15, 4, 20, 10},
		{5, 4, 4, 3},
	} {
		name := fmt.Sprintf("rs-%d-%d on %d with %d disks", tt.k, tt.m, tt.replicas, tt.disks)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			away, err := strconv.Atoi(budget(t, "chunkserver", "--set",
				fmt.Sprintf("scheme=rs-%d-%d,chunkserver.replicas=%d,chunkserver.disksPerNode=%d", tt.k, tt.m, tt.replicas, tt.disks)))
			if err != nil || away < 1 {
				t.Fatalf("budget %d, %v", away, err)
			}
			for nodes := range (tt.replicas + 2) / 3 {
				for seed := range uint64(20) {
					held := place(tt.replicas, tt.disks, nodes+1, tt.k+tt.m, rand.New(rand.NewPCG(seed, 0)))
					gone := 0
					for _, columns := range held[:away] {
						gone += columns
					}
					if gone > tt.m {
						t.Fatalf("with %d Nodes a zone, %d chunk-servers hold %d columns: %v", nodes+1, away, gone, held)
					}
				}
			}
		})
	}
}

// place spreads a volume's columns by rule 2 of services/placement/internal/policy, which cannot be imported here: each goes
// where its zone, then its Node (the rack), then its chunk-server holds fewest; ties are drawn. Chunk-servers are even over
// three zones, and over at most so many Nodes in each. It returns what chunk-servers hold, most first.
func place(replicas, disks, nodes, columns int, random *rand.Rand) []int {
	held, racks, zones := make([]int, replicas), map[[2]int]int{}, map[int]int{}
	rack := func(i int) [2]int { return [2]int{i % 3, i / 3 % nodes} }
	for range columns {
		var best []int
		var least [3]int
		for i := range held {
			if held[i] == disks {
				continue
			}
			rank := [3]int{zones[i%3], racks[rack(i)], held[i]}
			order := slices.Compare(rank[:], least[:])
			if best == nil || order < 0 {
				best, least = best[:0], rank
			}
			if order <= 0 || len(best) == 0 {
				best = append(best, i)
			}
		}
		i := best[random.IntN(len(best))]
		held[i]++
		racks[rack(i)]++
		zones[i%3]++
	}
	slices.SortFunc(held, func(a, b int) int { return b - a })
	return held
}
