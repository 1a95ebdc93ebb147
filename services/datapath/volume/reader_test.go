package volume

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// edges are the borders of blocks of a volume, ±1.
func edges(k, stripes int) []uint64 {
	total := uint64(stripes * k * block.Size)
	var at []uint64
	for b := range uint64(stripes*k) + 1 {
		border := b * block.Size
		for _, d := range []uint64{border - 1, border, border + 1} {
			if d <= total { // border-1 of 0 wraps to a huge number
				at = append(at, d)
			}
		}
	}
	slices.Sort(at)
	return slices.Compact(at)
}

// testExtents cover a volume of stripes in every way that a writer makes: contiguous, the first stripe of a fragment
// below a header, split records, whole records.
func testExtents(k int) map[string][]*typesv1.Extent {
	const header = 300
	stripe := uint64(k) * block.Size
	return map[string][]*typesv1.Extent{
		"contiguous": {contiguous(1, 0, 2*stripe)},
		"unaligned":  {contiguous(1, 77, 2*stripe-200)},
		"streamed": {
			{Volume: 1, Offset: header, Length: uint64(k) * (block.Size - header), Run: block.Size - header},
			contiguous(1, stripe, stripe),
		},
		"split":  {{Volume: 1, Offset: 5000, Length: uint64(k)*7000 - 3, Run: 7000}},
		"packed": {{Volume: 1, Offset: 9000, Length: 4096, Run: 4096}},
		"scattered": {
			{Volume: 1, Offset: stripe + 9000, Length: 4096, Run: 4096},
			{Volume: 1, Offset: 10, Length: 0, Run: 1},
			{Volume: 1, Offset: 5000, Length: 1, Run: 1},
			contiguous(1, 33, stripe),
		},
	}
}

// cuts are the offsets of a list of extents at which something begins, ±1.
func cuts(extents []*typesv1.Extent, k int) []int64 {
	var at []int64
	total := int64(0)
	add := func(border int64) { at = append(at, border-1, border, border+1) }
	for _, e := range extents {
		add(total)
		for p := range block.Pieces(e, k, 0, e.GetLength()) {
			total += int64(p.Length)
			add(total)
		}
	}
	at = slices.DeleteFunc(at, func(o int64) bool { return o < 0 || o > total })
	slices.Sort(at)
	return slices.Compact(at)
}

// TestReadEveryLoss reads with every pattern of up to m lost columns, whole objects and ranges that begin and end at every
// edge, and compares with the plain bytes.
func TestReadEveryLoss(t *testing.T) {
	for _, scheme := range []erasure.Scheme{{K: 2, M: 1}, {K: 4, M: 2}, {K: 5, M: 4}} {
		t.Run(scheme.String(), func(t *testing.T) {
			store := newFakeStore()
			store.write(t, 1, scheme, 2)
			lists := testExtents(scheme.K)
			pool := new(block.Pool)
			plain := map[string][]byte{}
			for name, extents := range lists {
				plain[name] = store.expect(extents...)
			}
			names := []string{"contiguous", "unaligned", "streamed", "split", "packed", "scattered"}
			turn := 0
			for pattern := range 1 << scheme.N() {
				lost := bitsOf(pattern)
				if len(lost) > scheme.M {
					continue
				}
				// One shape of extents per pattern in turn, and the split one always: it touches every column.
				for _, name := range []string{names[turn%len(names)], "split"} {
					store.heal()
					store.ail([]ailment{dead, corrupt, wiped}[turn%3], 1, lost...)
					b := newReaderBench(t, store, testMemory, func(o *ReaderOptions) { o.Pool = pool })
					checkRanges(t, b, fmt.Sprintf("%s without %v", name, lost), lists[name], plain[name], scheme.K, turn)
					turn++
				}
			}
		})
	}
}

// checkRanges reads the whole and some ranges between edges, other ones each turn.
func checkRanges(t *testing.T, b *readerBench, name string, extents []*typesv1.Extent, want []byte, k, turn int) {
	t.Helper()
	at := cuts(extents, k)
	ranges := [][2]int64{{0, 0}}
	budget := 64 << 10 // bytes per pattern, so that all patterns take seconds
	if turn%8 == 0 || len(want) < block.Size {
		ranges[0][1] = int64(len(want))
		budget = 2 << 20
	}
	for i := range at {
		ranges = append(ranges, [2]int64{at[i], at[(i*7+turn)%len(at)]})
	}
	for i, r := range ranges {
		lo, hi := min(r[0], r[1]), max(r[0], r[1])
		if budget -= int(hi - lo); i > 0 && budget < 0 && hi-lo > 2 { // the shortest ones always
			continue
		}
		if err := b.expect(t.Context(), extents, lo, want[lo:hi]); err != nil {
			t.Fatalf("%s: bytes [%d,%d): %v", name, lo, hi, err)
		}
	}
}

func bitsOf(pattern int) []int {
	var set []int
	for c := 0; pattern>>c > 0; c++ {
		if pattern>>c&1 == 1 {
			set = append(set, c)
		}
	}
	return set
}

// TestReadEdges reads every range between two edges of a small contiguous volume, healthy and with a column lost.
func TestReadEdges(t *testing.T) {
	const k, stripes = 2, 2
	store := newFakeStore()
	store.write(t, 1, erasure.Scheme{K: k, M: 1}, stripes)
	extents := []*typesv1.Extent{contiguous(1, 0, stripes*k*block.Size)}
	want := store.expect(extents...)
	for name, lost := range map[string][]int{"healthy": nil, "without column 0": {0}, "without column 1": {1}} {
		t.Run(name, func(t *testing.T) {
			store.heal()
			store.ail(dead, 1, lost...)
			b := newReaderBench(t, store, testMemory)
			at := edges(k, stripes)
			for i, lo := range at {
				for _, hi := range at[i:] {
					if err := b.expect(t.Context(), extents, int64(lo), want[lo:hi]); err != nil {
						t.Fatalf("bytes [%d,%d): %v", lo, hi, err)
					}
				}
			}
		})
	}
}

// TestReadProperty: any extents, any range, any m ailing members of any kind.
func TestReadProperty(outer *testing.T) {
	schemes := []erasure.Scheme{{K: 1, M: 2}, {K: 2, M: 1}, {K: 5, M: 4}, {K: 8, M: 4}}
	store := newFakeStore()
	for i, s := range schemes {
		store.write(outer, uint64(i+1), s, 1+8/s.N())
	}
	rapid.Check(outer, func(t *rapid.T) {
		store.heal()
		for i, s := range schemes {
			for _, c := range rapid.SliceOfNDistinct(rapid.IntRange(0, s.N()-1), 0, s.M, rapid.ID).Draw(t, "lost") {
				store.ail(rapid.SampledFrom([]ailment{dead, corrupt, wiped}).Draw(t, "how"), uint64(i+1), c)
			}
		}
		var extents []*typesv1.Extent
		for range rapid.IntRange(1, 4).Draw(t, "extents") {
			extents = append(extents, drawExtent(t, store))
		}
		want := store.expect(extents...)
		offset := drawPart(t, "offset", len(want))
		length := drawPart(t, "length", len(want)-offset)
		b := newReaderBench(outer, store, rapid.SampledFrom([]int64{testMemory, 20 << 20, 1 << 20}).Draw(t, "budget"))
		if err := b.expect(context.Background(), extents, int64(offset), want[offset:offset+length]); err != nil {
			t.Fatal(err)
		}
	})
}

// drawPart draws a number up to most, large ones as often as small ones: rapid alone prefers small ones.
func drawPart(t *rapid.T, name string, most int) int {
	if rapid.Bool().Draw(t, name+" is small") {
		return rapid.IntRange(0, min(most, 5000)).Draw(t, name)
	}
	return most * rapid.IntRange(0, 64).Draw(t, name) / 64
}

func drawExtent(t *rapid.T, store *fakeStore) *typesv1.Extent {
	volume := rapid.Uint64Range(1, uint64(len(store.plain))).Draw(t, "volume")
	size := uint64(len(store.plain[volume]))
	if rapid.Bool().Draw(t, "contiguous") {
		offset := drawPart(t, "offset", int(size))
		return contiguous(volume, uint64(offset), uint64(drawPart(t, "length", int(size)-offset)))
	}
	row := rapid.Uint64Range(0, block.Size-1).Draw(t, "row")
	run := rapid.Uint64Range(1, block.Size-row).Draw(t, "run")
	if run == block.Size {
		run--
	}
	first := rapid.Uint64Range(0, size/block.Size-1).Draw(t, "block")
	length := drawPart(t, "length", int((size/block.Size-first)*run))
	return &typesv1.Extent{Volume: volume, Offset: first*block.Size + row, Length: uint64(length), Run: uint32(run)}
}

func TestReadRefuses(t *testing.T) {
	store := newFakeStore()
	store.write(t, 1, erasure.Scheme{K: 2, M: 1}, 1)
	good := []*typesv1.Extent{contiguous(1, 0, 100)}
	cases := map[string]struct {
		extents        []*typesv1.Extent
		offset, length int64
		want           typesv1.Reason
	}{
		"negative offset":   {good, -1, 1, typesv1.Reason_REASON_INTERNAL},
		"negative length":   {good, 0, -1, typesv1.Reason_REASON_INTERNAL},
		"a byte too many":   {good, 0, 101, typesv1.Reason_REASON_RANGE_NOT_SATISFIABLE},
		"from beyond":       {good, 101, 0, typesv1.Reason_REASON_RANGE_NOT_SATISFIABLE},
		"sum overflows":     {good, 1, 1<<63 - 1, typesv1.Reason_REASON_RANGE_NOT_SATISFIABLE},
		"no extents":        {nil, 0, 1, typesv1.Reason_REASON_RANGE_NOT_SATISFIABLE},
		"malformed extent":  {[]*typesv1.Extent{{Volume: 1, Length: 5}}, 0, 5, typesv1.Reason_REASON_INTERNAL},
		"unknown volume":    {[]*typesv1.Extent{contiguous(9, 0, 5)}, 0, 5, typesv1.Reason_REASON_NO_SUCH_VOLUME},
		"nothing of it":     {good, 100, 0, typesv1.Reason_REASON_UNSPECIFIED},
		"nothing of no one": {nil, 0, 0, typesv1.Reason_REASON_UNSPECIFIED},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := newReaderBench(t, store, testMemory).read(t.Context(), c.extents, c.offset, c.length)
			if fault.Reason(err) != c.want || len(got) != 0 || (err == nil) != (c.want == typesv1.Reason_REASON_UNSPECIFIED) {
				t.Fatalf("%d bytes, %v; want %v", len(got), err, c.want)
			}
		})
	}
}

// TestSmallObjectIsOneRead: whatever shares its stripe, a whole object costs one request.
func TestSmallObjectIsOneRead(t *testing.T) {
	store := newFakeStore()
	store.write(t, 1, erasure.Scheme{K: 5, M: 4}, 1)
	b := newReaderBench(t, store, testMemory)
	e := []*typesv1.Extent{{Volume: 1, Offset: 3*block.Size + 400, Length: 4096, Run: 4096}}
	if _, err := b.read(t.Context(), e, 0, 4096); err != nil {
		t.Fatal(err)
	}
	if store.reads(1, 3) != 1 || store.rowsRead != 4096 {
		t.Errorf("%d requests to its column, %d rows in all", store.reads(1, 3), store.rowsRead)
	}
}

// TestDegradedReadCosts: with two columns of each stripe lost, a stripe is decoded once from the three left and two
// others, no column is read twice, and the lost ones are not asked over and over.
func TestDegradedReadCosts(t *testing.T) {
	for name, how := range map[string]ailment{"dead": dead, "corrupt": corrupt} {
		t.Run(name, func(t *testing.T) {
			const stripes = 6
			store := newFakeStore()
			store.write(t, 1, erasure.Scheme{K: 5, M: 4}, stripes)
			store.ail(how, 1, 1, 3)
			b := newReaderBench(t, store, testMemory)
			e := []*typesv1.Extent{contiguous(1, 0, stripes*5*block.Size)}
			if err := b.expect(t.Context(), e, 0, store.expect(e...)); err != nil {
				t.Fatal(err)
			}
			if n := testutil.ToFloat64(b.metrics.decodes); n != stripes {
				t.Errorf("decoded %v times, want once per stripe", n)
			}
			if n := testutil.ToFloat64(b.metrics.decodedBytes); n != stripes*2*block.Size {
				t.Errorf("decoded %v bytes, want the lost blocks", n)
			}
			if n := testutil.ToFloat64(b.metrics.degraded); n != 1 {
				t.Errorf("%v degraded reads", n)
			}
			for c, want := range map[int]int{0: stripes, 2: stripes, 4: stripes, 5: stripes, 6: stripes, 7: 0, 8: 0} {
				if n := store.reads(1, c); n != want {
					t.Errorf("column %d was read %d times, want %d", c, n, want)
				}
			}
			for _, c := range []int{1, 3} {
				// The parts that are under way at first may each ask.
				if n := store.reads(1, c); n > readStripes {
					t.Errorf("lost column %d was asked %d times", c, n)
				}
			}
		})
	}
}

// TestDecodeReadsOnlyTheRows: a small object of a dead member costs k reads of its own size.
func TestDecodeReadsOnlyTheRows(t *testing.T) {
	store := newFakeStore()
	store.write(t, 1, erasure.Scheme{K: 5, M: 4}, 1)
	store.unhealthy["node-"+disk(1, 3)] = true
	b := newReaderBench(t, store, testMemory)
	e := []*typesv1.Extent{{Volume: 1, Offset: 3*block.Size + 400, Length: 4096, Run: 4096}}
	if err := b.expect(t.Context(), e, 0, store.expect(e...)); err != nil {
		t.Fatal(err)
	}
	if store.reads(1, 3) != 0 || store.rowsRead != 5*4096 {
		t.Errorf("%d requests to the unhealthy member, %d rows in all", store.reads(1, 3), store.rowsRead)
	}
}

// TestUnhealthyIsAskedLast: the topology may be wrong; when the others do not suffice, everybody is asked.
func TestUnhealthyIsAskedLast(t *testing.T) {
	store := newFakeStore()
	store.write(t, 1, erasure.Scheme{K: 2, M: 1}, 1)
	for c := range 3 {
		store.unhealthy["node-"+disk(1, c)] = true
	}
	b := newReaderBench(t, store, testMemory)
	e := []*typesv1.Extent{contiguous(1, 0, 2*block.Size)}
	if err := b.expect(t.Context(), e, 0, store.expect(e...)); err != nil {
		t.Fatal(err)
	}
}

// TestTooMuchLost: one column fewer than k is left, for every way to lose them.
func TestTooMuchLost(t *testing.T) {
	cases := map[string]struct {
		one, others ailment
		code        codes.Code
	}{
		"dead":              {dead, dead, codes.Unavailable},
		"corrupt":           {corrupt, corrupt, codes.DataLoss},
		"wiped":             {wiped, wiped, codes.DataLoss},
		"one may come back": {dead, corrupt, codes.Unavailable},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // a read waits for members that may come back
				store := newFakeStore()
				store.write(t, 0x2a, erasure.Scheme{K: 4, M: 2}, 2)
				store.ail(c.one, 0x2a, 1)
				store.ail(c.others, 0x2a, 2, 5)
				b := newReaderBench(t, store, testMemory)
				e := []*typesv1.Extent{contiguous(0x2a, 4*block.Size, 4*block.Size)}
				got, err := b.read(t.Context(), e, 0, 4*block.Size)
				if !fault.Is(err, typesv1.Reason_REASON_TOO_MUCH_LOST) || fault.Code(err) != c.code {
					t.Fatalf("%v (%v), want TOO_MUCH_LOST as %v", err, fault.Code(err), c.code)
				}
				if message := fault.From(err).Message(); message != "volume 0x2a, stripe 1: 3 of 6 columns can be read and 4 are needed" {
					t.Errorf("message %q", message)
				}
				if _, ok := fault.RetryAfter(err); ok != (c.code == codes.Unavailable) {
					t.Errorf("asks to come back: %v", ok)
				}
				if want := store.expect(e...)[:len(got)]; !bytes.Equal(got, want) {
					t.Error("wrong bytes before the error")
				}
				if store.refreshes == 0 {
					t.Error("gave up without a look at the map")
				}
			})
		})
	}
}

// TestStaleMember: repair moved a column; the old chunk is gone, the cached entry still names it.
func TestStaleMember(t *testing.T) {
	store := newFakeStore()
	v := store.write(t, 1, erasure.Scheme{K: 2, M: 1}, 2)
	store.change(1, func(moved *placementv1.Volume) {
		moved.Members[1] = &placementv1.Member{Disk: "new", Node: "node-new", Attempt: 999}
	})
	store.chunks[refOf(store.entries[1], 1)] = store.chunks[refOf(v, 1)]
	delete(store.chunks, refOf(v, 1))
	b := newReaderBench(t, store, testMemory)
	e := []*typesv1.Extent{contiguous(1, 0, 4*block.Size)}
	if err := b.expect(t.Context(), e, 0, store.expect(e...)); err != nil {
		t.Fatal(err)
	}
	if n := testutil.ToFloat64(b.metrics.decodes); n != 0 || store.refreshes != 1 {
		t.Errorf("%v decodes and %d refreshes, want 0 and 1", n, store.refreshes)
	}
}

// TestRewrittenVolume: re-encodes made a generation of another geometry, twice, while a reader was in the middle. Its
// pieces lie elsewhere now, and columns of two generations must never meet in one decode.
func TestRewrittenVolume(t *testing.T) {
	cases := map[string]struct {
		scheme erasure.Scheme
		budget int64
	}{
		"wider":            {erasure.Scheme{K: 5, M: 4}, testMemory},
		"narrower":         {erasure.Scheme{K: 1, M: 2}, testMemory},
		"without prefetch": {erasure.Scheme{K: 2, M: 1}, 1 << 20},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			store := newFakeStore()
			old := store.write(t, 1, erasure.Scheme{K: 3, M: 2}, 4)
			e := []*typesv1.Extent{contiguous(1, 100, 11*block.Size)}
			want := store.expect(e...)
			b := newReaderBench(t, store, c.budget)
			var got []byte
			generation := old.GetGeneration()
			err := b.Read(t.Context(), e, 0, int64(len(want)), func(p []byte) error {
				got = append(got, p...)
				if len(got) > 3*int(generation)*block.Size && generation < 3 {
					generation++
					store.mu.Lock()
					defer store.mu.Unlock()
					before := store.entries[1]
					store.code(t, 1, c.scheme, generation)
					store.cached[1] = before
					// One column of the old generation lingers: it must not be mixed in.
					for c := range len(before.GetMembers()) - 1 {
						delete(store.chunks, refOf(before, c))
					}
				}
				return nil
			})
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d of %d bytes, %v", len(got), len(want), err)
			}
		})
	}
}

// TestVolumeGone: compaction dropped the volume; the caller asks metadata where the bytes are now.
func TestVolumeGone(t *testing.T) {
	store := newFakeStore()
	v := store.write(t, 1, erasure.Scheme{K: 2, M: 1}, 1)
	delete(store.entries, 1)
	for c := range 3 {
		delete(store.chunks, refOf(v, c))
	}
	_, err := newReaderBench(t, store, testMemory).read(t.Context(), []*typesv1.Extent{contiguous(1, 0, 10)}, 0, 10)
	if !fault.Is(err, typesv1.Reason_REASON_NO_SUCH_VOLUME) {
		t.Fatalf("%v, want NO_SUCH_VOLUME", err)
	}
}

// TestHungMember: a read goes around a member that does not answer after the attempt's timeout, once; later reads do
// not wait for it, until one finds out that it is back.
func TestHungMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore()
		store.write(t, 1, erasure.Scheme{K: 5, M: 4}, 4)
		store.ail(hung, 1, 2)
		b := newReaderBench(t, store, testMemory)
		e := []*typesv1.Extent{contiguous(1, 0, 20*block.Size)}
		whole := func() time.Duration {
			began := time.Now()
			if err := b.expect(t.Context(), e, 0, store.expect(e...)); err != nil {
				t.Fatal(err)
			}
			return time.Since(began)
		}
		if took := whole(); took != DefaultAttemptTimeout {
			t.Errorf("the first read took %v, want one timeout", took)
		}
		asked := store.reads(1, 2)
		if took := whole(); took != 0 || store.reads(1, 2) != asked {
			t.Errorf("the second read took %v and asked the hung member %d times", took, store.reads(1, 2)-asked)
		}
		time.Sleep(avoidFor)
		store.heal()
		decodes := testutil.ToFloat64(b.metrics.decodes)
		if took := whole(); took != 0 || store.reads(1, 2) == asked {
			t.Errorf("after %v the read took %v; the member was asked %d times", avoidFor, took, store.reads(1, 2)-asked)
		}
		whole()
		if n := testutil.ToFloat64(b.metrics.decodes) - decodes; n > 3 {
			t.Errorf("still decoded %v stripes after the member came back", n)
		}
	})
}

// TestLateAnswerIsUsed: when every other column is gone, the slow one's answer is waited for.
func TestLateAnswerIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore()
		store.write(t, 1, erasure.Scheme{K: 2, M: 1}, 1)
		store.block = make(chan struct{})
		store.ail(hung, 1, 0)
		store.ail(corrupt, 1, 2)
		b := newReaderBench(t, store, testMemory)
		go func() {
			time.Sleep(3 * DefaultAttemptTimeout)
			close(store.block)
		}()
		e := []*typesv1.Extent{contiguous(1, 0, 2*block.Size)}
		if err := b.expect(t.Context(), e, 0, store.expect(e...)); err != nil {
			t.Fatal(err)
		}
	})
}

// TestSlowMembersAreNotAStorm: when everything is slow, reads are not multiplied: once the budget is spent, they wait.
func TestSlowMembersAreNotAStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore()
		store.write(t, 1, erasure.Scheme{K: 5, M: 4}, 1)
		store.block = make(chan struct{})
		store.ail(hung, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8)
		b := newReaderBench(t, store, testMemory)
		b.detours.saved.Store(2 * detourShare)
		go func() {
			time.Sleep(20 * DefaultAttemptTimeout)
			close(store.block)
		}()
		e := []*typesv1.Extent{{Volume: 1, Offset: 400, Length: 4096, Run: 4096}}
		if err := b.expect(t.Context(), e, 0, store.expect(e...)); err != nil {
			t.Fatal(err)
		}
		if n := store.rowsRead / 4096; n > 7 {
			t.Errorf("%d requests for one slow read", n)
		}
	})
}

// TestOverloadedMember: others are asked in its place while that is rare, then the caller is told.
func TestOverloadedMember(t *testing.T) {
	store := newFakeStore()
	store.write(t, 1, erasure.Scheme{K: 5, M: 4}, 1)
	store.ail(overloaded, 1, 0)
	b := newReaderBench(t, store, testMemory)
	b.detours.saved.Store(3 * detourShare)
	e := []*typesv1.Extent{{Volume: 1, Offset: 400, Length: 4096, Run: 4096}}
	served, refused := 0, 0
	for range 20 {
		switch _, err := b.read(t.Context(), e, 0, 4096); {
		case err == nil:
			served++
		case fault.Is(err, typesv1.Reason_REASON_OVERLOADED):
			refused++
		default:
			t.Fatal(err)
		}
	}
	// Three were saved up, and twenty reads earn two more.
	if served != 5 || refused != 15 {
		t.Errorf("%d served, %d refused", served, refused)
	}
}

func TestCancelledRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore()
		store.write(t, 1, erasure.Scheme{K: 5, M: 4}, 2)
		store.ail(hung, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8)
		b := newReaderBench(t, store, testMemory)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			time.Sleep(DefaultAttemptTimeout / 2)
			cancel()
		}()
		e := []*typesv1.Extent{contiguous(1, 0, 10*block.Size)}
		if _, err := b.read(ctx, e, 0, 10*block.Size); !errors.Is(err, context.Canceled) {
			t.Fatalf("%v, want the context's error", err)
		}
		if b.avoided.size.Load() != 0 {
			t.Error("members were blamed for the caller's leaving")
		}
	})
}

// TestEmitEndsTheRead: what is under way is given up, it is not waited for.
func TestEmitEndsTheRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore()
		store.write(t, 1, erasure.Scheme{K: 2, M: 1}, 4)
		b := newReaderBench(t, store, testMemory)
		store.hangFrom = block.Size
		gone := errors.New("the client went away")
		calls := 0
		began := time.Now()
		err := b.Read(t.Context(), []*typesv1.Extent{contiguous(1, 0, 8*block.Size)}, 0, 8*block.Size, func([]byte) error {
			calls++
			if calls == 2 {
				return gone
			}
			return nil
		})
		if !errors.Is(err, gone) || calls != 2 || time.Since(began) != 0 {
			t.Fatalf("%v after %d calls and %v", err, calls, time.Since(began))
		}
		if err := b.leaks(); err != nil {
			t.Error(err)
		}
	})
}

func TestReadExtentList(t *testing.T) {
	store := newFakeStore()
	v := store.write(t, 1, erasure.Scheme{K: 2, M: 1}, 1)
	list := &typesv1.ExtentList{}
	for i := range 100 {
		list.Extents = append(list.Extents, contiguous(uint64(i), 1<<40, 1<<30))
	}
	payload, err := proto.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	copy(store.plain[1][500:], payload)
	store.code(t, 1, erasure.Scheme{K: 2, M: 1}, v.GetGeneration())
	b := newReaderBench(t, store, testMemory)
	at := &typesv1.Extent{Volume: 1, Offset: 500, Length: uint64(len(payload)), Run: uint32(len(payload))}
	got, err := b.ReadExtentList(t.Context(), at)
	if err != nil || !proto.Equal(&typesv1.ExtentList{Extents: got}, list) {
		t.Fatalf("%d extents, %v", len(got), err)
	}
	at.Offset++
	if _, err := b.ReadExtentList(t.Context(), at); fault.Code(err) != codes.DataLoss {
		t.Errorf("garbage: %v", err)
	}
	at.Length = uint64(listCapacity(erasure.MaxK)) + 1
	if _, err := b.ReadExtentList(t.Context(), at); fault.Code(err) != codes.Internal {
		t.Errorf("huge: %v", err)
	}
}
