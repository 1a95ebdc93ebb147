package volume

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/datapath/internal/memcluster"
)

func TestStallHedgesToTheStandby(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, harnessOptions{before: delayAll(2 * time.Millisecond)})
		defer h.stop()
		r := rand.New(rand.NewPCG(5, 6))
		for range 30 { // earn a hedge
			if err := h.pack(t.Context(), rs54, randomBytes(r, 500)); err != nil {
				t.Fatal(err)
			}
		}
		first := h.cluster.Placement.Volumes()[0].GetId()
		h.cluster.Node("z1n1").Set(func(f *memcluster.Faults) {
			f.Stall = func(a *chunkv1.AppendRequest) time.Duration {
				if a.GetChunk().GetVolume() == first {
					return 700 * time.Millisecond // less than what ends a volume
				}
				return 0
			}
		})
		begin := time.Now()
		if err := h.pack(t.Context(), rs54, randomBytes(r, 500)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took < hedgeLeast || took > hedgeLeast+10*time.Millisecond {
			t.Errorf("the stalled pack took %v, want a little over %v", took, hedgeLeast)
		}
		begin = time.Now()
		if err := h.pack(t.Context(), rs54, randomBytes(r, 500)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took > 10*time.Millisecond {
			t.Errorf("the pack after it took %v; the standby should be active", took)
		}
		if n := len(h.cluster.Placement.Volumes()); n != 2 {
			t.Errorf("%d volumes were opened; a stall that ends should cost none", n)
		}
		h.stop()
		h.verify(r)
	})
}

func TestHedgesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, harnessOptions{before: delayAll(2 * time.Millisecond)})
		defer h.stop()
		r := rand.New(rand.NewPCG(7, 8))
		if err := h.pack(t.Context(), rs54, randomBytes(r, 500)); err != nil {
			t.Fatal(err)
		}
		appends := 0
		h.cluster.Nodes[0].Set(func(f *memcluster.Faults) {
			f.Stall = func(*chunkv1.AppendRequest) time.Duration {
				if appends++; appends%3 == 0 { // far more often than hedges are for
					return 200 * time.Millisecond
				}
				return 0
			}
		})
		const packs = 200
		before := h.node0()
		for range packs {
			if err := h.pack(t.Context(), rs54, randomBytes(r, 500)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		extra := h.batches(before) - packs
		if extra > packs*hedgeShare+1 || extra < packs*hedgeShare/2 {
			t.Errorf("%d of %d packs were hedged", extra, packs)
		}
	})
}

// TestStuckChunk: one chunk hangs on a node that answers for others, so only the volume can notice.
func TestStuckChunk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, harnessOptions{before: delayAll(2 * time.Millisecond)})
		defer h.stop()
		other := erasure.Scheme{K: 4, M: 5}
		check(t, h.pack(t.Context(), rs54, []byte("x")))
		stuck := h.placed[0].placed.Extents[0].GetVolume()
		h.cluster.Nodes[3].Set(func(f *memcluster.Faults) {
			f.Stall = func(r *chunkv1.AppendRequest) time.Duration {
				if r.GetChunk().GetVolume() == stuck {
					return time.Hour
				}
				return 0
			}
		})
		var packing sync.WaitGroup
		packing.Go(func() {
			for range 100 {
				check(t, h.pack(t.Context(), other, []byte("y")))
				time.Sleep(50 * time.Millisecond)
			}
		})
		begin := time.Now()
		check(t, h.pack(t.Context(), rs54, []byte("x")))
		if took := time.Since(begin); took > 1300*time.Millisecond {
			t.Errorf("a pack on a stuck chunk took %v", took)
		}
		packing.Wait()
		h.stop()
		h.verify(rand.New(rand.NewPCG(1, 1)))
	})
}
