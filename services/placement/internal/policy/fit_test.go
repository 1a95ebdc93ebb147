package policy

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/kit/fault"
)

func TestFits(t *testing.T) {
	for _, c := range []struct {
		name     string
		topology *Topology
		scheme   erasure.Scheme
		want     string // what it survives, or what the refusal says
		refused  bool
	}{
		{name: "nine nodes", topology: grid(1, 3, 3, 3), scheme: erasure.Scheme{K: 5, M: 4}, want: "one zone and one disk"},
		{name: "six nodes", topology: grid(1, 2, 2, 2), scheme: erasure.Scheme{K: 4, M: 2}, want: "one zone"},
		{
			name: "too few disks", topology: grid(1, 3, 3, 3), scheme: erasure.Scheme{K: 8, M: 4},
			want: "rs-8-4 needs 12 distinct disks; 9 are registered", refused: true,
		},
		{
			name: "three nodes of four disks", topology: grid(4, 1, 1, 1), scheme: erasure.Scheme{K: 8, M: 4},
			want: "one zone",
		},
		{
			name: "one node", topology: grid(9, 1), scheme: erasure.Scheme{K: 5, M: 4},
			want: "rs-5-4 may lose 4 of its 9 columns, but 9 would lie on node z0-n0; 1 nodes are registered, add more", refused: true,
		},
		{
			name: "a node would hold more than may be lost", topology: grid(4, 2), scheme: erasure.Scheme{K: 4, M: 2},
			want: "3 would lie on node", refused: true,
		},
		{
			name: "zones even, nodes not: one node is a whole zone", topology: NewTopology(append(gridDisks(1, 3), Disk{
				ID: "x0", Zone: "zx", Node: "x",
			}, Disk{ID: "x1", Zone: "zx", Node: "x"}, Disk{ID: "x2", Zone: "zx", Node: "x"})),
			scheme: erasure.Scheme{K: 4, M: 2}, want: "3 would lie on node x", refused: true,
		},
		{name: "nothing registered", topology: NewTopology(nil), scheme: erasure.Scheme{K: 1, M: 1}, want: "0 are registered", refused: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			promise, err := Outlives(c.scheme, c.topology.Registered())
			if !c.refused {
				if err != nil || promise.String() != c.want {
					t.Errorf("survives %v, %v; want %s", promise, err, c.want)
				}
				return
			}
			if fault.Reason(err) != typesv1.Reason_REASON_SCHEME_DOES_NOT_FIT || !strings.Contains(err.Error(), c.want) {
				t.Errorf("refusal: %v; want SCHEME_DOES_NOT_FIT with %q", err, c.want)
			}
		})
	}
}

// TestFitsMeansThatNoNodeIsFatal holds what Fits promises against what Pick does.
func TestFitsMeansThatNoNodeIsFatal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		topology := drawTopology(t, 20)
		scheme := drawScheme(t, len(usable(topology)))
		disks, err := Policy{}.Pick(topology, scheme, rapid.Uint64().Draw(t, "seed"))
		if err != nil {
			t.Skip("too few disks")
		}
		widest := profile(disks)[2][0]
		if fits := Fits(scheme, topology.Healthy()) == nil; fits != (widest <= scheme.M) {
			t.Fatalf("%s fits: %v, but a node holds %d of its columns", scheme, fits, widest)
		}
	})
}
