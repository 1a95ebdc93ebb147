package volume

import (
	"context"
	"flag"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/datapath/internal/memcluster"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// modelRounds is low by default because a round takes up to a second; -model.rounds=1000 is for a night.
var modelRounds = flag.Uint64("model.rounds", 10, "random histories that TestModel runs")

// TestModel writes at random while random things break, at most one zone at a time, and checks that everything that was
// acknowledged reads back from the chunks with any m columns missing, that acknowledged rows are within sealed lengths,
// that no rows are used twice, and that every chunk is bit for bit what the data columns say.
func TestModel(t *testing.T) {
	for seed := range *modelRounds {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { model(t, seed) })
		})
	}
}

func model(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 0))
	h := newHarness(t, harnessOptions{
		cluster: memcluster.Options{Zones: 3, NodesPerZone: 3, VolumeBytes: uint64([]int{10, 20, 60}[r.IntN(3)]) * mib},
		config:  WriterConfig{Name: "model", StripeMemory: int64([]int{10, 40, 256}[r.IntN(3)]) * mib},
		before:  delayAll(2 * time.Millisecond),
	})
	defer h.stop()
	var writing sync.WaitGroup
	for i := range 1 + r.Uint64N(6) {
		writing.Go(func() { h.writeAtRandom(rand.New(rand.NewPCG(seed, i+1))) })
	}
	faults := r.IntN(7)
	for range faults {
		time.Sleep(time.Duration(r.IntN(400)) * time.Millisecond)
		h.breakAtRandom(r)
	}
	writing.Wait()
	h.heal()
	time.Sleep(time.Minute) // seals are tried again
	h.stop()
	h.verify(r)
	if err := h.leaks(); err != nil {
		t.Error(err)
	}
	if n := h.open(); n != 0 && faults == 0 {
		t.Errorf("%d volumes were left open", n)
	}
}

// writeAtRandom writes for a while. A write may fail, but only as unavailable, and a failed one is forgotten.
func (h *harness) writeAtRandom(r *rand.Rand) {
	schemes := []erasure.Scheme{rs54, rs54, {K: 4, M: 2}}
	for range 4 + r.IntN(8) {
		scheme := schemes[r.IntN(len(schemes))]
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		var err error
		switch {
		case r.IntN(3) > 0:
			err = h.pack(ctx, scheme, randomBytes(r, r.IntN(1<<(5+r.IntN(14)))))
		case r.IntN(8) == 0: // a client that goes away
			early, stop := context.WithTimeout(ctx, time.Duration(r.IntN(20))*time.Millisecond)
			_ = h.stream(early, scheme, randomBytes(r, r.IntN(8*mib)), 1+r.IntN(mib), false)
			stop()
		default:
			err = h.stream(ctx, scheme, randomBytes(r, r.IntN(12*mib)), 1+r.IntN(mib), r.IntN(2) == 0)
		}
		cancel()
		if err != nil && fault.Code(err) != codes.Unavailable {
			h.t.Errorf("a write failed with %v", err)
		}
		time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
	}
}

// breakAtRandom breaks something. What was broken before in another zone is healed: the code outlives one zone.
func (h *harness) breakAtRandom(r *rand.Rand) {
	zone := h.cluster.Zone([]string{"z0", "z1", "z2"}[r.IntN(3)])
	for _, n := range h.cluster.Nodes {
		if n.Zone != zone[0].Zone {
			h.restore(n)
		}
	}
	node := zone[r.IntN(len(zone))]
	switch r.IntN(10) {
	case 0:
		for _, n := range zone {
			n.Kill()
		}
	case 1:
		for _, n := range zone {
			n.Set(func(f *memcluster.Faults) { f.Silent = true })
		}
	case 2:
		node.Set(func(f *memcluster.Faults) { f.Torn = true })
	case 3:
		node.Kill()
		h.cluster.Placement.SetState(node.Name, placementv1.NodeState_NODE_STATE_DOWN)
	case 4:
		node.Set(func(f *memcluster.Faults) { f.Silent = true })
	case 5:
		stall := time.Duration(r.IntN(900)) * time.Millisecond
		share := r.IntN(4)
		node.Set(func(f *memcluster.Faults) {
			f.Stall = func(a *chunkv1.AppendRequest) time.Duration {
				if int(a.GetRow()/4096)%4 <= share {
					return stall
				}
				return 0
			}
		})
	case 6:
		node.Set(func(f *memcluster.Faults) {
			f.Create = func(*chunkv1.CreateChunkRequest) error {
				return fault.New(codes.Unavailable, typesv1.Reason_REASON_DISK_READ_ONLY, "scripted")
			}
		})
	case 7:
		reason := []typesv1.Reason{
			typesv1.Reason_REASON_DISK_FULL, typesv1.Reason_REASON_DISK_FAILED, typesv1.Reason_REASON_ROW_MISMATCH,
			typesv1.Reason_REASON_CHUNK_FENCED, typesv1.Reason_REASON_NO_SUCH_CHUNK,
		}[r.IntN(5)]
		left := r.IntN(3)
		node.Set(func(f *memcluster.Faults) {
			f.Append = func(*chunkv1.AppendRequest) error {
				if left--; left < 0 {
					return fault.New(codes.FailedPrecondition, reason, "scripted")
				}
				return nil
			}
		})
	case 8:
		h.cluster.Placement.Do(func() { h.cluster.Placement.Down = !h.cluster.Placement.Down })
	case 9:
		h.cluster.Placement.Expire()
	}
}

func (h *harness) restore(n *memcluster.Node) {
	n.Restart()
	h.cluster.Placement.SetState(n.Name, placementv1.NodeState_NODE_STATE_UP)
}

func (h *harness) heal() {
	for _, n := range h.cluster.Nodes {
		h.restore(n)
	}
	h.cluster.Placement.Do(func() { h.cluster.Placement.Down = false })
}
