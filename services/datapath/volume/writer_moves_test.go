package volume

import (
	"math/rand/v2"
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

// TestStreamCarriesOnAfterAnother checks the record that a stripe gets which was shaped to need none.
func TestStreamCarriesOnAfterAnother(t *testing.T) {
	h := newHarness(t, harnessOptions{})
	defer h.stop()
	r := rand.New(rand.NewPCG(5, 5))
	payload := randomBytes(r, 17*mib)
	s, err := h.writer.Stream(t.Context(), rs54, header("long"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Abort()
	write := func(p []byte) {
		t.Helper()
		if _, err := s.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	write(payload[:6*mib]) // the second stripe has begun: it expects to follow the first
	other := make(chan struct{})
	go func() {
		defer close(other)
		check(t, h.stream(t.Context(), rs54, randomBytes(rand.New(rand.NewPCG(5, 6)), 3*mib), mib, false))
	}()
	<-other
	write(payload[6*mib:])
	placed, err := s.Finish(t.Context(), checksumOf(17))
	if err != nil {
		t.Fatal(err)
	}
	h.remember(placed, payload)
	h.stop()
	h.verify(r)
}

// TestStripeFollowsOnlyItsPredecessor lays a stripe without a record behind its predecessor, and behind others.
func TestStripeFollowsOnlyItsPredecessor(t *testing.T) {
	h := newHarness(t, harnessOptions{})
	defer h.stop()
	s, err := h.writer.Stream(t.Context(), rs54, header("k"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Abort()
	if _, err := s.Write(make([]byte, 6*mib)); err != nil { // the second stripe has begun
		t.Fatal(err)
	}
	stripe := s.filling
	stripe.write(make([]byte, stripe.limit-stripe.length))
	if err := stripe.seal(); err != nil {
		t.Fatal(err)
	}
	v, err := s.lane.current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	v.order.Lock()
	defer v.order.Unlock()
	before := v.after
	defer func() { v.after = before }()
	cases := []struct {
		name   string
		after  mark
		row    uint64
		frames int
	}{
		{"predecessor", mark{s, stripe.offset}, 7 * mib, 1},
		{"predecessor, in mid-block", mark{s, stripe.offset}, 7*mib + 5, 2},
		{"predecessor, with no room for a record", mark{s, stripe.offset}, 8*mib - 5, 3},
		{"another piece of the stream", mark{s, stripe.offset + 5*mib}, 7 * mib, 2},
		{"another stream", mark{&Stream{}, stripe.offset}, 7 * mib, 2},
		{"nothing", mark{}, 7 * mib, 2},
	}
	for _, tc := range cases {
		v.after = tc.after
		out, err := stripe.lay(v, tc.row)
		if err != nil {
			t.Fatal(err)
		}
		if len(out.frames) != tc.frames {
			t.Errorf("behind %s: %d frames, want %d", tc.name, len(out.frames), tc.frames)
		}
		row := tc.row
		for i, f := range out.frames {
			last := i == len(out.frames)-1
			if f.requests[0].GetContinuation() != last {
				t.Errorf("behind %s: frame %d: continuation %v", tc.name, i, f.requests[0].GetContinuation())
			}
			if last && row%mib != 0 {
				t.Errorf("behind %s: the stripe lies at row %d", tc.name, row)
			}
			row += uint64(f.rows)
			f.memory.release()
		}
		if e := out.extents[0]; e.GetRun() != mib || e.GetLength() != 5*mib || e.GetOffset() != (row-mib)*5 {
			t.Errorf("behind %s: extent %v, the stripe ends at row %d", tc.name, e, row)
		}
	}
}

// TestSchemeChangesUnderAStream moves a stream from nine columns to six in mid-stripe.
func TestSchemeChangesUnderAStream(t *testing.T) {
	for _, announce := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			h := newHarness(t, harnessOptions{before: delayAll(20 * time.Millisecond)})
			defer h.stop()
			r := rand.New(rand.NewPCG(8, 8))
			payload := randomBytes(r, 23*mib)
			hd := header("k")
			if announce {
				hd.ObjectSize = uint64(len(payload))
			}
			s, err := h.writer.Stream(t.Context(), rs54, hd)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Abort()
			write := func(p []byte) {
				t.Helper()
				if _, err := s.Write(p); err != nil {
					t.Fatal(err)
				}
			}
			write(payload[:12*mib])
			time.Sleep(time.Second)
			for _, n := range h.cluster.Zone("z1") {
				n.Kill()
			}
			write(payload[12*mib:])
			placed, err := s.Finish(t.Context(), checksumOf(23))
			if err != nil {
				t.Fatal(err)
			}
			h.remember(placed, payload)
			volumes := make(map[uint64]bool)
			for _, e := range placed.Extents {
				volumes[e.GetVolume()] = true
			}
			if len(volumes) < 2 {
				t.Errorf("all of it is in one volume: %v", placed.Extents)
			}
			h.stop()
			h.verify(r)
			if err := h.leaks(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestTailIsWrittenForEveryShape is the reshaper against all sizes around its borders.
func TestTailIsWrittenForEveryShape(t *testing.T) {
	scheme := erasure.Scheme{K: 2, M: 1}
	h := newHarness(t, harnessOptions{cluster: memcluster.Options{Zones: 3, NodesPerZone: 1, VolumeBytes: 128 * mib}})
	defer h.stop()
	r := rand.New(rand.NewPCG(9, 9))
	full := 2 * mib
	for d := -600; d <= 0; d += 31 { // a stripe less headers
		check(t, h.stream(t.Context(), scheme, randomBytes(r, full+d), mib, d%2 == 0))
	}
	for _, n := range []int{full - 64<<10, full - 128<<10, full + 1, 2*full - 1, 2 * full} {
		check(t, h.stream(t.Context(), scheme, randomBytes(r, n), mib, true))
	}
	h.stop()
	h.verify(r)
}

// TestStripesAreSentAgain fails a member while stripes are on their way: same record, new address.
func TestStripesAreSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, harnessOptions{
			cluster: memcluster.Options{Zones: 3, NodesPerZone: 4}, before: delayAll(5 * time.Millisecond),
		})
		defer h.stop()
		refuse := 3
		h.cluster.Node("z0n0").Set(func(f *memcluster.Faults) {
			f.Append = func(r *chunkv1.AppendRequest) error {
				if len(r.GetData()) == 0 {
					return nil
				}
				if refuse--; refuse == 0 {
					return fault.New(codes.Unavailable, typesv1.Reason_REASON_DISK_FAILED, "scripted")
				}
				return nil
			}
		})
		r := rand.New(rand.NewPCG(10, 10))
		payload := randomBytes(r, 40*mib)
		check(t, h.stream(t.Context(), rs54, payload, mib, true))
		h.stop()
		h.verify(r)
		failed := 0
		for _, v := range h.cluster.Placement.Volumes() {
			if v.GetState() == placementv1.VolumeState_VOLUME_STATE_SEALED && v.GetLength() > 0 {
				failed++
			}
		}
		if failed != 2 {
			t.Errorf("the stream lies in %d volumes, want 2", failed)
		}
	})
}
