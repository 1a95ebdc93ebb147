package volume

import (
	"math/rand/v2"
	"testing"

	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/datapath/internal/memcluster"
	"github.com/drystone-store/drystone/services/datapath/nodes"
	"github.com/drystone-store/drystone/services/kit/limit"
)

// TestReaderReadsWhatWriterWrote: the two halves over real peers, map and topology: objects of all shapes, whole and in
// ranges, while any four nodes are dead, or a zone and one more node.
func TestReaderReadsWhatWriterWrote(t *testing.T) {
	cases := map[string][]string{
		"all nodes up":             nil,
		"four nodes dead":          {"z0n0", "z1n1", "z2n2", "z0n1"},
		"a zone and one more dead": {"z2n0", "z2n1", "z2n2", "z0n2"},
	}
	for name, dead := range cases {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, harnessOptions{})
			defer h.stop()
			random := rand.New(rand.NewPCG(1, 1))
			for _, n := range []int{0, 1, 4096, 64 << 10, 64<<10 + 1, 200 << 10, 256 << 10} {
				if err := h.pack(t.Context(), rs54, randomBytes(random, n)); err != nil {
					t.Fatal(err)
				}
			}
			for _, n := range []int{0, 1, 300 << 10, 5 << 20, 5<<20 + 1, 17<<20 + 77} {
				for _, announce := range []bool{false, true} {
					if err := h.stream(t.Context(), rs54, randomBytes(random, n), 300<<10, announce); err != nil {
						t.Fatal(err)
					}
				}
			}
			for _, name := range dead {
				h.cluster.Node(name).Kill()
			}
			h.readBack(t, random)
		})
	}
}

// readBack reads everything that was placed, and a range of each, with a new Reader.
func (h *harness) readBack(t *testing.T, random *rand.Rand) {
	t.Helper()
	placement, err := nodes.DialPlacement(h.cluster.Dialer, []string{memcluster.PlacementTarget})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { check(t, placement.Close()) }()
	volumes, err := nodes.NewMap(placement.Client())
	if err != nil {
		t.Fatal(err)
	}
	defer volumes.Close()
	memory, err := limit.NewBytes(limit.BytesOptions{Name: "reads", Budget: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(volumes, h.peers, ReaderOptions{Memory: memory, Pool: new(block.Pool)})
	if err != nil {
		t.Fatal(err)
	}
	b := &readerBench{Reader: r, pool: r.pool, memory: memory}
	for _, p := range h.placed {
		extents := p.placed.Extents
		if p.placed.ExtentList != nil {
			if extents, err = r.ReadExtentList(t.Context(), p.placed.ExtentList); err != nil {
				t.Fatalf("the extent list of %d bytes: %v", len(p.payload), err)
			}
		}
		lo := random.IntN(len(p.payload) + 1)
		hi := lo + random.IntN(len(p.payload)-lo+1)
		for _, cut := range [][2]int{{0, len(p.payload)}, {lo, hi}} {
			if err := b.expect(t.Context(), extents, int64(cut[0]), p.payload[cut[0]:cut[1]]); err != nil {
				t.Fatalf("bytes %v of %d in %v: %v", cut, len(p.payload), extents, err)
			}
		}
	}
}
