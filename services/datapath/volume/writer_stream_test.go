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
