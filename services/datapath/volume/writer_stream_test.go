package volume

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/datapath/internal/memcluster"
	"github.com/drystone-store/drystone/services/kit/fault"
)

var _ io.Writer = (*Stream)(nil)

const mib = 1 << 20

func TestLoneStreamIsOneRun(t *testing.T) {
	h := newHarness(t, harnessOptions{})
	defer h.stop()
	r := rand.New(rand.NewPCG(1, 1))
	check(t, h.stream(t.Context(), rs54, randomBytes(r, 31*mib), 300_000, true))
	// The first stripe has a header, those that carry on merge, the tail is split.
	if n := len(h.placed[0].placed.Extents); n != 3 {
		t.Errorf("%d extents: %v", n, h.placed[0].placed.Extents)
	}
	h.stop()
	h.verify(r)
	for _, v := range h.cluster.Placement.Volumes() {
		var kinds []typesv1.RecordKind
		var at uint64
		for found := range h.records(v) {
			kinds = append(kinds, found.Header.GetKind())
			if found.Header.GetKind() == typesv1.RecordKind_RECORD_KIND_TAIL {
				at = found.Header.GetObjectOffset()
				if found.Header.GetObjectSize() != 31*mib || len(found.Header.GetExtents()) != 2 || at+found.Payload != 31*mib {
					t.Errorf("tail %v", found.Header)
				}
			}
		}
		if len(kinds) != 0 && len(kinds) != 2 {
			t.Errorf("records %v", kinds)
		}
	}
}

func TestSmallStreamIsOneRecord(t *testing.T) {
	h := newHarness(t, harnessOptions{})
	defer h.stop()
	r := rand.New(rand.NewPCG(2, 2))
	for _, announce := range []bool{true, false} {
		check(t, h.stream(t.Context(), rs54, randomBytes(r, mib), 100_000, announce))
	}
	for _, p := range h.placed {
		if e := p.placed.Extents; len(e) != 1 || e[0].GetRun() != uint32(block.SplitRun(mib, 5)) {
			t.Errorf("extents %v", e)
		}
	}
	h.stop()
	h.verify(r)
}

func TestStreamsSideBySide(t *testing.T) {
	h := newHarness(t, harnessOptions{config: WriterConfig{Name: "w", StripeMemory: 40 * mib}})
	defer h.stop()
	var uploading sync.WaitGroup
	for i := range 12 {
		uploading.Go(func() {
			r := rand.New(rand.NewPCG(3, uint64(i)))
			check(t, h.stream(t.Context(), rs54, randomBytes(r, r.IntN(16*mib)), 1+r.IntN(2*mib), i%2 == 0))
		})
	}
	uploading.Wait()
	h.stop()
	h.verify(rand.New(rand.NewPCG(3, 100)))
	if err := h.leaks(); err != nil {
		t.Error(err)
	}
}

// TestLongListIsARecord puts something between all stripes of a stream, so that none merge.
func TestLongListIsARecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scheme := erasure.Scheme{K: 1, M: 2}
		h := newHarness(t, harnessOptions{cluster: memcluster.Options{Zones: 3, NodesPerZone: 1, VolumeBytes: 256 * mib}})
		defer h.stop()
		r := rand.New(rand.NewPCG(4, 4))
		payload := randomBytes(r, (maxExtents+6)*mib)
		s, err := h.writer.Stream(t.Context(), scheme, header("long"))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Abort()
		for rest := payload; len(rest) > 0; {
			n := min(mib, len(rest))
			if _, err := s.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
			synctest.Wait() // the stripe has its place
			check(t, h.stream(t.Context(), scheme, []byte("between"), mib, false))
		}
		placed, err := s.Finish(t.Context(), checksumOf(1))
		if err != nil {
			t.Fatal(err)
		}
		if placed.ExtentList == nil || placed.Extents != nil {
			t.Fatalf("placed %+v", placed)
		}
		h.remember(placed, payload)
		h.stop()
		h.verify(r)
		if n := len(h.list(placed.ExtentList, r)); n <= maxExtents {
			t.Errorf("a list of %d extents", n)
		}
	})
}

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

func TestStreamRefuses(t *testing.T) {
	h := newHarness(t, harnessOptions{})
	defer h.stop()
	open := func(size uint64) *Stream {
		hd := header("k")
		hd.ObjectSize = size
		s, err := h.writer.Stream(t.Context(), rs54, hd)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open(10)
	if _, err := s.Write(make([]byte, 11)); !fault.Is(err, typesv1.Reason_REASON_BODY_TOO_LONG) {
		t.Errorf("more than announced: %v", err)
	}
	s.Abort()
	s = open(10)
	_, _ = s.Write(make([]byte, 9))
	if _, err := s.Finish(t.Context(), nil); !fault.Is(err, typesv1.Reason_REASON_INCOMPLETE_BODY) {
		t.Errorf("less than announced: %v", err)
	}
	s = open(0)
	s.Abort()
	s.Abort()
	if _, err := s.Write([]byte("x")); fault.Code(err) != codes.Canceled {
		t.Errorf("a write after the end: %v", err)
	}
	if _, err := s.Finish(t.Context(), nil); fault.Code(err) != codes.Canceled {
		t.Errorf("a finish after the end: %v", err)
	}
	h.stop()
	if err := h.leaks(); err != nil {
		t.Error(err)
	}
}

// TestStreamTellsWhyItFailed: the writer of the next bytes learns the reason, not what followed from it.
func TestStreamTellsWhyItFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, harnessOptions{
			config: WriterConfig{Name: "w", StripeMemory: 10 * mib}, before: delayAll(50 * time.Millisecond),
		})
		defer h.stop()
		s, err := h.writer.Stream(t.Context(), rs54, header("k"))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Abort()
		for _, n := range h.cluster.Nodes[:6] {
			n.Kill()
		}
		_, err = s.Write(make([]byte, 20*mib)) // waits for memory while the first stripe fails
		if fault.Code(err) != codes.Unavailable {
			t.Errorf("the write failed with %v", err)
		}
		if _, err := s.Finish(t.Context(), nil); fault.Code(err) != codes.Unavailable {
			t.Errorf("finish failed with %v", err)
		}
	})
}

// TestAbortReleasesEverything ends uploads in the middle, with and without their context.
func TestAbortReleasesEverything(t *testing.T) {
	for _, name := range []string{"abort", "cancel"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t, harnessOptions{before: delayAll(100 * time.Millisecond)})
				defer h.stop()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				s, err := h.writer.Stream(ctx, rs54, header("k"))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := s.Write(randomBytes(rand.New(rand.NewPCG(6, 6)), 8*mib)); err != nil {
					t.Fatal(err)
				}
				if name == "cancel" {
					cancel()
					if _, err := s.Write([]byte("x")); fault.Code(err) != codes.Canceled {
						t.Errorf("a write after the context ended: %v", err)
					}
				}
				s.Abort()
				time.Sleep(time.Second)
				if err := h.leaks(); err != nil {
					t.Error(err)
				}
				h.stop()
				h.verify(rand.New(rand.NewPCG(6, 7)))
			})
		})
	}
}

// TestMemoryHoldsClientsBack fills the budget with stripes that nobody makes durable.
func TestMemoryHoldsClientsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const budget = 30 * mib // three stripes of rs-5-4
		h := newHarness(t, harnessOptions{
			config: WriterConfig{Name: "w", StripeMemory: budget}, before: delayAll(500 * time.Millisecond),
		})
		defer h.stop()
		var uploading sync.WaitGroup
		for i := range 4 {
			uploading.Go(func() {
				check(t, h.stream(t.Context(), rs54, bytes.Repeat([]byte{byte(i + 1)}, 12*mib), mib, false))
			})
		}
		for range 20 {
			time.Sleep(100 * time.Millisecond)
			if out := h.writer.pool.Outstanding(); out > 4*9+2*9 { // and two tails
				t.Errorf("%d buffers are out", out)
			}
		}
		uploading.Wait()
		h.stop()
		h.verify(rand.New(rand.NewPCG(7, 7)))
	})
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

func TestPlacedMessagesAreOnesOwn(t *testing.T) {
	h := newHarness(t, harnessOptions{})
	defer h.stop()
	check(t, h.stream(t.Context(), rs54, make([]byte, 6*mib), mib, false))
	e := h.placed[0].placed.Extents[0]
	before := proto.CloneOf(e)
	check(t, h.stream(t.Context(), rs54, make([]byte, 6*mib), mib, false))
	if !proto.Equal(e, before) {
		t.Errorf("%v became %v", before, e)
	}
}
