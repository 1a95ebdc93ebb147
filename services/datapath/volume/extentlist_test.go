package volume

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/datapath/internal/memcluster"
	"github.com/drystone-store/drystone/services/datapath/record"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// TestListCapacityFitsIntoAStripe: what the writer lets a list grow to a record holds, under every scheme.
func TestListCapacityFitsIntoAStripe(t *testing.T) {
	for k := 1; k <= erasure.MaxK; k++ {
		if _, ok := block.Pack(k, block.Size, []block.Item{{Header: record.MaxHeader, Payload: listCapacity(k)}}); !ok {
			t.Errorf("a list of %d bytes does not fit into a stripe of %d columns", listCapacity(k), k)
		}
	}
}

// scattered is a list of extents of which none merge, as long as a record of k columns holds.
func scattered(k int) []*typesv1.Extent {
	one := contiguous(1<<48, 1<<30-1, 5*block.Size-1)
	extents := make([]*typesv1.Extent, listCapacity(k)/listSize([]*typesv1.Extent{one}))
	for i := range extents {
		extents[i] = one
	}
	return extents
}

// TestLongestListIsReadable: the longest list of the default scheme, close to 200,000 extents, is written and read.
func TestLongestListIsReadable(t *testing.T) {
	want := scattered(rs54.K)
	payload, err := proto.Marshal(&typesv1.ExtentList{Extents: want})
	if err != nil {
		t.Fatal(err)
	}
	store := newFakeStore()
	store.write(t, 1, rs54, 1)
	copy(store.plain[1], payload)
	store.code(t, 1, rs54, 1)
	b := newReaderBench(t, store, testMemory)
	got, err := b.ReadExtentList(t.Context(), contiguous(1, 0, uint64(len(payload))))
	if err != nil || len(got) != len(want) || len(payload) <= 4*mib {
		t.Errorf("%d of %d extents in %d bytes, %v", len(got), len(want), len(payload), err)
	}

	h := newHarness(t, harnessOptions{})
	defer h.stop()
	s, err := h.writer.Stream(t.Context(), rs54, header("long"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Abort()
	placed, err := s.packExtents(Placed{Extents: got})
	if err != nil || placed.ExtentList.GetLength() != uint64(len(payload)) {
		t.Errorf("written as %v, %v", placed.ExtentList, err)
	}
}

// TestListDoesNotFitAFallback: when a zone is down stripes are smaller for a while; that is no fault of the object's.
func TestListDoesNotFitAFallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, harnessOptions{before: func(c *memcluster.Cluster) {
			for _, n := range c.Zone("z2") {
				n.Kill()
			}
		}})
		defer h.stop()
		s, err := h.writer.Stream(t.Context(), rs54, header("long"))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Abort()
		_, err = s.packExtents(Placed{Extents: scattered(rs54.K)})
		if _, delay := fault.RetryAfter(err); fault.Code(err) != codes.Unavailable || !delay {
			t.Errorf("got %v", err)
		}
	})
}

// TestTooManyExtentsAreRefusedEarly: an object whose list outgrows a record ends while it is uploaded, with what is wrong.
func TestTooManyExtentsAreRefusedEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scheme := erasure.Scheme{K: 1, M: 2}
		h := newHarness(t, harnessOptions{cluster: memcluster.Options{Zones: 3, NodesPerZone: 1, VolumeBytes: 256 * mib}})
		defer h.stop()
		r := rand.New(rand.NewPCG(51, 52))
		s, err := h.writer.Stream(t.Context(), scheme, header("long"))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Abort()
		const most = 10
		s.listMost = most * listSize([]*typesv1.Extent{contiguous(1<<48, 1<<27, mib)})
		stripe := randomBytes(r, mib)
		written := 0
		for ; err == nil && written < 100; written++ {
			_, err = s.Write(stripe)
			synctest.Wait() // the stripe has its place
			check(t, h.stream(t.Context(), scheme, []byte("between"), mib, false))
		}
		if !fault.Is(err, typesv1.Reason_REASON_OBJECT_TOO_LARGE) || written < most || written > most+stripesInFlight+2 {
			t.Errorf("after %d stripes: %v", written, err)
		}
		if _, err := s.Finish(t.Context(), nil); !fault.Is(err, typesv1.Reason_REASON_OBJECT_TOO_LARGE) {
			t.Errorf("finish: %v", err)
		}
		if n := len(s.carries); n > stripesInFlight+2 {
			t.Errorf("%d stripes are remembered one by one", n)
		}
		h.stop()
		h.verify(r)
		if err := h.leaks(); err != nil {
			t.Error(err)
		}
	})
}
