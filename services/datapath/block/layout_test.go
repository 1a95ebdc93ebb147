package block_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
)

func TestPack(t *testing.T) {
	const kib = 1 << 10
	slot := func(column, row, run int) block.Slot { return block.Slot{Column: column, HeaderRow: row, Run: run} }
	cases := map[string]struct {
		k     int
		items []block.Item
		rows  int
		slots []block.Slot
	}{
		"nothing":                 {3, nil, 1, []block.Slot{}},
		"one small object":        {3, []block.Item{{100, 4000}}, 4100, []block.Slot{slot(0, 0, 4000)}},
		"one empty object":        {3, []block.Item{{100, 0}}, 101, []block.Slot{slot(0, 0, 1)}},
		"64 KiB stays whole":      {2, []block.Item{{100, 64 * kib}}, 64*kib + 100, []block.Slot{slot(0, 0, 64*kib)}},
		"a byte more is split":    {2, []block.Item{{100, 64*kib + 1}}, 32*kib + 101, []block.Slot{slot(0, 0, 32*kib+1)}},
		"as many as columns":      {2, []block.Item{{10, 200 * kib}, {10, 200 * kib}}, 200*kib + 10, []block.Slot{slot(0, 0, 200*kib), slot(1, 0, 200*kib)}},
		"one column, never split": {1, []block.Item{{10, 200 * kib}, {10, 5}}, 200*kib + 25, []block.Slot{slot(0, 0, 200*kib), slot(0, 200*kib+10, 5)}},
		"longest first": {
			2,
			[]block.Item{{10, 100}, {10, 300}, {10, 200}},
			320,
			[]block.Slot{slot(1, 210, 100), slot(0, 0, 300), slot(1, 0, 200)},
		},
		"a split goes above the whole ones": {
			2,
			[]block.Item{{10, 90}, {10, 100 * kib}},
			50*kib + 110,
			[]block.Slot{slot(0, 50*kib+10, 90), slot(0, 0, 50*kib)},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, ok := block.Pack(c.k, block.Size, c.items)
			if !ok || got.Rows != c.rows {
				t.Errorf("Pack = %v rows, %v; want %v", got.Rows, ok, c.rows)
			}
			if diff := cmp.Diff(c.slots, got.Slots, cmpopts.IgnoreUnexported(block.Slot{})); diff != "" {
				t.Errorf("slots (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPackWithoutRoom(t *testing.T) {
	cases := map[string]struct {
		room  int
		items []block.Item
		want  bool
	}{
		"exactly":                     {110, []block.Item{{10, 100}}, true},
		"one row short":               {109, []block.Item{{10, 100}}, false},
		"an empty payload at the end": {10, []block.Item{{10, 0}}, false},
		"fits when it is split":       {50_010, []block.Item{{10, 100_000}}, true},
		"does not fit even then":      {50_009, []block.Item{{10, 100_000}}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, ok := block.Pack(2, c.room, c.items)
			if ok != c.want || ok && got.Rows > c.room {
				t.Fatalf("Pack = %d rows, %v; want %v", got.Rows, ok, c.want)
			}
		})
	}
}

func drawItem(t *rapid.T) block.Item {
	it := block.Item{Header: rapid.IntRange(60, 900).Draw(t, "header")}
	switch rapid.IntRange(0, 3).Draw(t, "size class") {
	case 0:
		it.Payload = rapid.IntRange(0, 200).Draw(t, "payload")
	case 1:
		it.Payload = rapid.IntRange(0, 16<<10).Draw(t, "payload")
	case 2:
		it.Payload = rapid.IntRange(block.SplitOver-2, block.SplitOver+2).Draw(t, "payload")
	case 3:
		it.Payload = rapid.IntRange(0, 256<<10).Draw(t, "payload")
	}
	return it
}

// TestPackProperties: whatever a gauge takes fits; nothing overlaps; columns are level within the largest whole
// record; only records over SplitOver are split; frames can be filled in Order.
func TestPackProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.IntRange(1, 32).Draw(t, "k")
		row := uint64(rapid.IntRange(0, block.Size-2000).Draw(t, "row"))
		room := block.Room(row)
		gauge := block.NewGauge(k, room)
		var items []block.Item
		for range rapid.IntRange(1, 60).Draw(t, "items") {
			if it := drawItem(t); gauge.Add(it) {
				items = append(items, it)
			}
		}
		layout, ok := block.Pack(k, room, items)
		if !ok || layout.Rows > room {
			t.Fatalf("a gauge took what does not fit: %d rows of %d", layout.Rows, room)
		}
		checkLayout(t, k, row, items, layout)
	})
}

func checkLayout(t *rapid.T, k int, row uint64, items []block.Item, layout block.Layout) {
	type span struct{ from, to int }
	taken := make([][]span, k)
	largest, splits := 0, 0
	for i, s := range layout.Slots {
		if s.Run < items[i].Payload {
			splits++
			if items[i].Payload <= block.SplitOver {
				t.Fatalf("a payload of %d bytes was split", items[i].Payload)
			}
		} else {
			largest = max(largest, items[i].Header+items[i].Payload)
		}
		e := s.Extent(7, k, row)
		if !block.CheckExtent(e) {
			t.Fatalf("malformed extent %v", e)
		}
		taken[s.Column] = append(taken[s.Column], span{s.HeaderRow, s.PayloadRow()})
		total, column := 0, s.Column
		for p := range block.Pieces(e, k, 0, e.GetLength()) {
			from := int(p.Row - row)
			if p.Column != column || p.Stripe != row/block.Size || from != s.PayloadRow() {
				t.Fatalf("piece %+v of slot %+v: expected column %d", p, s, column)
			}
			taken[p.Column] = append(taken[p.Column], span{from, from + p.Length})
			total, column = total+p.Length, column+1
		}
		if total != items[i].Payload {
			t.Fatalf("pieces hold %d of %d bytes", total, items[i].Payload)
		}
	}
	low, high := block.Size, 0
	for c, spans := range taken {
		slices.SortFunc(spans, func(a, b span) int { return a.from - b.from })
		end := 0
		for _, s := range spans {
			if s.from < end || s.to > layout.Rows {
				t.Fatalf("column %d: rows %v overlap or leave the frame of %d", c, spans, layout.Rows)
			}
			end = s.to
		}
		low, high = min(low, end), max(high, end)
	}
	if high-low > largest+splits*k {
		t.Fatalf("columns end at %d to %d; the largest whole record has %d bytes", low, high, largest)
	}
	if sorted := slices.Sorted(slices.Values(layout.Order)); len(sorted) != len(items) {
		t.Fatalf("order %v is no order of %d items", layout.Order, len(items))
	}
}

// TestPackSplitsLoneLargeObjects: a lone object of 256 KiB would cost m times its size in parity if it stayed whole.
func TestPackSplitsLoneLargeObjects(t *testing.T) {
	layout, _ := block.Pack(5, block.Size, []block.Item{{Header: 200, Payload: 256 << 10}})
	if want := 200 + (256<<10+4)/5; layout.Rows != want {
		t.Fatalf("%d rows, want %d", layout.Rows, want)
	}
}

func TestStreamSpans(t *testing.T) {
	const size = block.Size
	cases := map[string]struct {
		got    func() (block.Span, bool)
		want   block.Span
		ok     bool
		extent *typesv1.Extent
	}{
		"fragment at a boundary": {
			func() (block.Span, bool) { return block.StartFragment(5, 2*size, 300) },
			block.Span{Row: 2 * size, Rows: size, Header: 300, Run: size - 300, Length: 5 * (size - 300)},
			true,
			&typesv1.Extent{Volume: 9, Offset: 10*size + 300, Length: 5 * (size - 300), Run: size - 300},
		},
		"fragment in the middle": {
			func() (block.Span, bool) { return block.StartFragment(5, size+1000, 300) },
			block.Span{Row: size + 1000, Rows: size - 1000, Header: 300, Run: size - 1300, Length: 5 * (size - 1300)},
			true,
			&typesv1.Extent{Volume: 9, Offset: 5*size + 1300, Length: 5 * (size - 1300), Run: size - 1300},
		},
		"fragment with one row left":  {func() (block.Span, bool) { return block.StartFragment(5, size-301, 300) }, block.Span{Row: size - 301, Rows: 301, Header: 300, Run: 1, Length: 5}, true, &typesv1.Extent{Volume: 9, Offset: size - 1, Length: 5, Run: 1}},
		"fragment without room":       {func() (block.Span, bool) { return block.StartFragment(5, size-300, 300) }, block.Span{}, false, nil},
		"continuation":                {func() (block.Span, bool) { return block.Continue(5, size) }, block.Span{Row: size, Rows: size, Run: size, Length: 5 * size}, true, &typesv1.Extent{Volume: 9, Offset: 5 * size, Length: 5 * size, Run: size}},
		"continuation off a boundary": {func() (block.Span, bool) { return block.Continue(5, size+1) }, block.Span{}, false, nil},
		"tail":                        {func() (block.Span, bool) { return block.Tail(5, 10, 300, 11) }, block.Span{Row: 10, Rows: 303, Header: 300, Run: 3, Length: 11}, true, &typesv1.Extent{Volume: 9, Offset: 310, Length: 11, Run: 3}},
		"empty tail":                  {func() (block.Span, bool) { return block.Tail(5, 10, 300, 0) }, block.Span{Row: 10, Rows: 301, Header: 300, Run: 1}, true, &typesv1.Extent{Volume: 9, Offset: 310, Run: 1}},
		"tail to the last row":        {func() (block.Span, bool) { return block.Tail(2, size-302, 300, 4) }, block.Span{Row: size - 302, Rows: 302, Header: 300, Run: 2, Length: 4}, true, &typesv1.Extent{Volume: 9, Offset: size - 2, Length: 4, Run: 2}},
		"tail a row too long":         {func() (block.Span, bool) { return block.Tail(2, size-302, 300, 5) }, block.Span{}, false, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, ok := c.got()
			if ok != c.ok || ok && got != c.want {
				t.Fatalf("got %+v, %v; want %+v, %v", got, ok, c.want, c.ok)
			}
			if !ok {
				return
			}
			k := 5
			if name == "tail to the last row" {
				k = 2
			}
			if diff := cmp.Diff(c.extent, got.Extent(9, k), protocmp.Transform()); diff != "" {
				t.Errorf("extent (-want +got):\n%s", diff)
			}
			if !block.CheckExtent(got.Extent(9, k)) {
				t.Error("the extent is malformed")
			}
		})
	}
}

func TestMerge(t *testing.T) {
	const size = block.Size
	e := func(volume, offset, length uint64, run uint32) *typesv1.Extent {
		return &typesv1.Extent{Volume: volume, Offset: offset, Length: length, Run: run}
	}
	cases := map[string]struct{ in, want []*typesv1.Extent }{
		"stripes that follow each other": {
			[]*typesv1.Extent{e(1, 0, 5*size, size), e(1, 5*size, 5*size, size), e(1, 10*size, 5*size, size)},
			[]*typesv1.Extent{e(1, 0, 15*size, size)},
		},
		"first stripe below a header":   {[]*typesv1.Extent{e(1, 300, 5*size-1500, size-300), e(1, 5*size, 5*size, size)}, nil},
		"another volume":                {[]*typesv1.Extent{e(1, 0, 5*size, size), e(2, 5*size, 5*size, size)}, nil},
		"a gap":                         {[]*typesv1.Extent{e(1, 0, 5*size, size), e(1, 10*size, 5*size, size)}, nil},
		"a tail of less than one block": {[]*typesv1.Extent{e(1, 0, 5*size, size), e(1, 5*size, 10, 2)}, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			want := c.want
			if want == nil {
				want = c.in
			}
			var got []*typesv1.Extent
			for _, next := range c.in {
				got = block.Merge(got, next)
			}
			if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
				t.Fatalf("merged (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCheckExtent(t *testing.T) {
	cases := map[string]struct {
		extent *typesv1.Extent
		want   bool
	}{
		"nil":                          {nil, false},
		"no run":                       {&typesv1.Extent{Length: 1}, false},
		"run over a block":             {&typesv1.Extent{Length: 1, Run: block.Size + 1}, false},
		"run leaves its block":         {&typesv1.Extent{Offset: 1, Length: 1, Run: block.Size}, true},
		"short run leaves its block":   {&typesv1.Extent{Offset: block.Size - 10, Length: 1, Run: 11}, false},
		"short run to the block's end": {&typesv1.Extent{Offset: block.Size - 10, Length: 1, Run: 10}, true},
		"huge offset":                  {&typesv1.Extent{Offset: 1<<64 - 1, Length: 1, Run: block.Size}, false},
		"huge length":                  {&typesv1.Extent{Length: 1<<64 - 1, Run: block.Size}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := block.CheckExtent(c.extent); got != c.want {
				t.Fatalf("CheckExtent(%v) = %v", c.extent, got)
			}
		})
	}
}

func ExamplePack() {
	layout, _ := block.Pack(3, block.Size, []block.Item{{Header: 100, Payload: 4096}, {Header: 100, Payload: 1000}, {Header: 100, Payload: 2000}})
	for _, s := range layout.Slots {
		e := s.Extent(1, 3, 0)
		fmt.Println("column", s.Column, "offset", e.GetOffset(), "run", e.GetRun())
	}
	// Output:
	// column 0 offset 100 run 4096
	// column 2 offset 2097252 run 1000
	// column 1 offset 1048676 run 2000
}

func ExamplePieces() {
	// 25 bytes split over three columns, then bytes 8 to 19 of them.
	e := &typesv1.Extent{Offset: 50, Length: 25, Run: 10}
	for p := range block.Pieces(e, 3, 8, 12) {
		fmt.Println("column", p.Column, "row", p.Row, "length", p.Length)
	}
	// Output:
	// column 0 row 58 length 2
	// column 1 row 50 length 10
}
