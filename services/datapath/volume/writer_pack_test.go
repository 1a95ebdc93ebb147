package volume

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/datapath/internal/memcluster"
	"github.com/drystone-store/drystone/services/datapath/record"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// batches counts packed appends since the counter was at before.
func (h *harness) batches(before int) int { return (h.node0() - before) }

// node0 counts the frames of the first volumes' last parity column: it holds bytes in every frame that has any.
func (h *harness) node0() int {
	most := 0
	for _, n := range h.cluster.Nodes {
		most = max(most, n.Frames())
	}
	return most
}

func TestManyPacksShareFewBatches(t *testing.T) {
	const packs, size, most = 1000, 4096, 20
	for _, delay := range []time.Duration{0, time.Millisecond} {
		t.Run(delay.String(), func(t *testing.T) {
			h := newHarness(t, harnessOptions{before: delayAll(delay)})
			defer h.stop()
			payload := randomBytes(rand.New(rand.NewPCG(1, 1)), size)
			check(t, h.pack(t.Context(), rs54, payload))
			before := h.node0()
			var packing sync.WaitGroup
			for range packs {
				packing.Go(func() {
					done := h.writer.Expect()
					defer done()
					p := append([]byte(nil), payload...) // an upload arrives
					done()
					check(t, h.pack(t.Context(), rs54, p))
				})
			}
			packing.Wait()
			if n := h.batches(before); n > most {
				t.Errorf("%d packs took %d appends, want at most %d", packs, n, most)
			} else {
				t.Logf("%d packs took %d appends", packs, n)
			}
		})
	}
}

func TestLonePackWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const durable = 3 * time.Millisecond
		h := newHarness(t, harnessOptions{before: delayAll(durable)})
		defer h.stop()
		for range 3 {
			defer h.writer.Expect()() // a few that never come
		}
		for range 5 {
			done := h.writer.Expect()
			done()
			done() // more than once is fine
			begin := time.Now()
			check(t, h.pack(t.Context(), rs54, []byte("lone")))
			if took := time.Since(begin); took != durable {
				t.Errorf("a lone pack took %v, a sync takes %v", took, durable)
			}
		}
	})
}

func TestSlowClientsDelayNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const durable = 3 * time.Millisecond
		h := newHarness(t, harnessOptions{before: delayAll(durable)})
		defer h.stop()
		check(t, h.pack(t.Context(), rs54, []byte("first")))
		for range 100 {
			defer h.writer.Expect()() // announced, and stuck
		}
		begin := time.Now()
		check(t, h.pack(t.Context(), rs54, []byte("quick")))
		if took := time.Since(begin); took > durable+2*gatherSlice {
			t.Errorf("a pack beside 100 slow clients took %v", took)
		}
	})
}

// TestACrowdSharesSyncs: a thousand uploads at once, whose bodies come one after the other, are not cut into batches of a
// few either: each of them waits far longer for the others than for its batch.
func TestACrowdSharesSyncs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const uploads, durable, gap, most = 1000, 3 * time.Millisecond, 200 * time.Microsecond, 12
		h := newHarness(t, harnessOptions{before: delayAll(durable)})
		defer h.stop()
		check(t, h.pack(t.Context(), rs54, []byte("first")))
		before := h.node0()
		announced := make([]func(), uploads)
		for i := range announced {
			announced[i] = h.writer.Expect()
		}
		var packing sync.WaitGroup
		for _, arrived := range announced {
			time.Sleep(gap)
			arrived()
			packing.Go(func() { check(t, h.pack(t.Context(), rs54, []byte("one of many"))) })
		}
		packing.Wait()
		if n := h.batches(before); n > most {
			t.Errorf("%d uploads took %d appends, want at most %d", uploads, n, most)
		}
	})
}

// TestTrickleAfterABurst: the rest of a burst that comes one by one, unannounced, is not cut into batches of a few.
func TestTrickleAfterABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const durable, half, gap = time.Millisecond, 300, 100 * time.Microsecond
		h := newHarness(t, harnessOptions{before: delayAll(durable)})
		defer h.stop()
		check(t, h.pack(t.Context(), rs54, []byte("first")))
		before := h.node0()
		var packing sync.WaitGroup
		for i := range 2 * half {
			packing.Go(func() { check(t, h.pack(t.Context(), rs54, []byte("another"))) })
			if i >= half {
				time.Sleep(gap)
			}
		}
		packing.Wait()
		if n, most := h.batches(before), int(half*gap/durable)*5/6; n > most {
			t.Errorf("the burst took %d appends, want at most %d", n, most)
		}
		// When the burst is over nobody waits for it.
		check(t, h.pack(t.Context(), rs54, []byte("quick")))
		begin := time.Now()
		check(t, h.pack(t.Context(), rs54, []byte("quick")))
		if took := time.Since(begin); took != durable {
			t.Errorf("a lone pack after a burst took %v", took)
		}
	})
}

func TestWhatGathersSharesASync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, harnessOptions{before: delayAll(time.Millisecond)})
		defer h.stop()
		check(t, h.pack(t.Context(), rs54, []byte("first")))
		before := h.node0()
		var packing sync.WaitGroup
		for range 50 {
			packing.Go(func() { check(t, h.pack(t.Context(), rs54, []byte("another"))) })
		}
		packing.Wait()
		if n := h.batches(before); n > 2 {
			t.Errorf("50 packs at a time took %d appends; the first may go alone", n)
		}
		h.stop()
		h.verify(rand.New(rand.NewPCG(2, 2)))
	})
}

// TestVolumesFillUp packs through several small volumes; each write stays short while volumes are replaced.
func TestVolumesFillUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, harnessOptions{
			cluster: memcluster.Options{Zones: 3, NodesPerZone: 3, VolumeBytes: 10 << 20}, before: delayAll(time.Millisecond),
		})
		defer h.stop()
		r := rand.New(rand.NewPCG(3, 3))
		slowest := time.Duration(0)
		for range 30 {
			var packing sync.WaitGroup
			begin := time.Now()
			for range 8 {
				payload := randomBytes(r, 200_000+r.IntN(62_000))
				packing.Go(func() { check(t, h.pack(t.Context(), rs54, payload)) })
			}
			packing.Wait()
			slowest = max(slowest, time.Since(begin))
		}
		if slowest > 20*time.Millisecond {
			t.Errorf("eight packs took %v", slowest)
		}
		h.stop()
		h.verify(r)
		volumes := h.cluster.Placement.Volumes()
		if len(volumes) < 4 {
			t.Errorf("%d volumes held it all", len(volumes))
		}
		for _, v := range volumes {
			if v.GetState() != placementv1.VolumeState_VOLUME_STATE_SEALED {
				t.Errorf("volume %#x is %v", v.GetId(), v.GetState())
			}
		}
	})
}

func TestRecordsNameTheirBytes(t *testing.T) {
	h := newHarness(t, harnessOptions{})
	defer h.stop()
	r := rand.New(rand.NewPCG(4, 4))
	want := map[string]int{}
	var packing sync.WaitGroup
	for i := range 200 {
		key, payload := fmt.Sprintf("key-%d", i), randomBytes(r, r.IntN(100_000))
		want[key] = len(payload)
		packing.Go(func() {
			hd := header(key)
			hd.ObjectSize, hd.Checksum = uint64(len(payload)), checksumOf(uint64(len(payload)))
			_, err := h.writer.Pack(t.Context(), rs54, hd, payload)
			check(t, err)
		})
	}
	packing.Wait()
	h.stop()
	got := map[string]int{}
	for _, v := range h.cluster.Placement.Volumes() {
		for found := range h.records(v) {
			hd := found.Header
			if hd.GetKind() != typesv1.RecordKind_RECORD_KIND_OBJECT || hd.GetClusterId() != memcluster.ClusterID ||
				hd.GetCreatedMs() == 0 || hd.GetObjectSize() != found.Payload {
				t.Errorf("record %v", hd)
			}
			got[hd.GetKey()] = int(found.Payload)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d records, want %d", len(got), len(want))
	}
	for key, size := range want {
		if got[key] != size {
			t.Errorf("%s has %d bytes, want %d", key, got[key], size)
		}
	}
}

// records scans a volume's frames.
func (h *harness) records(v *placementv1.Volume) func(func(record.Found) bool) {
	h.t.Helper()
	k := int(v.GetScheme().GetK())
	return func(yield func(record.Found) bool) {
		for _, f := range h.column(v, 0).Frames {
			if f.Continuation {
				continue
			}
			frame := record.Frame{Volume: v.GetId(), K: k, Row: f.Row, Rows: int(f.Rows)}
			read := func(column int, row uint64, dst []byte) error {
				copy(dst, h.column(v, column).Rows[row:])
				return nil
			}
			for found, err := range record.Scan(frame, read) {
				if err != nil {
					h.t.Fatalf("scanning: %v", err)
				}
				if !yield(found) {
					return
				}
			}
		}
	}
}

func TestPackRefuses(t *testing.T) {
	h := newHarness(t, harnessOptions{})
	defer h.stop()
	_, err := h.writer.Pack(t.Context(), erasure.Scheme{K: 0, M: 1}, header("k"), nil)
	if !fault.Is(err, typesv1.Reason_REASON_INVALID_SCHEME) {
		t.Errorf("rs-0-1: %v", err)
	}
	_, err = h.writer.Pack(t.Context(), rs54, header("k"), make([]byte, 5*block.Size))
	if !fault.Is(err, typesv1.Reason_REASON_OBJECT_TOO_LARGE) || fault.Code(err) != codes.InvalidArgument {
		t.Errorf("more than a stripe: %v", err)
	}
	if err := h.pack(t.Context(), rs54, make([]byte, 4*block.Size)); err != nil {
		t.Errorf("less than a stripe: %v", err)
	}
}
