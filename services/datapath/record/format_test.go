package record_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
)

// TestFormatExamples holds the worked examples of FORMAT.md to the code.
func TestFormatExamples(t *testing.T) {
	const mib = 1 << 20
	piece := func(stripe uint64, column int, row uint64, length int) block.Piece {
		return block.Piece{Place: block.Place{Stripe: stripe, Column: column, Row: row}, Length: length}
	}
	extent := func(offset, length uint64, run uint32) *typesv1.Extent {
		return &typesv1.Extent{Volume: 7, Offset: offset, Length: length, Run: run}
	}
	same := func(name string, want, got any) {
		t.Helper()
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s (-FORMAT.md +code):\n%s", name, diff)
		}
	}

	same("1: an address", block.Place{Stripe: 2, Column: 3, Row: 2*mib + 1}, block.Locate(13*mib+1, 5))

	var pieces []block.Piece
	for p := range block.Pieces(extent(8312, 100_000, 20_000), 5, 45_000, 1) {
		pieces = append(pieces, p)
	}
	same("2: byte 45,000 of a split record", []block.Piece{piece(0, 2, 13_312, 1)}, pieces)
	pieces = nil
	for p := range block.Pieces(extent(3*mib-3, 10, mib), 5, 0, 10) {
		pieces = append(pieces, p)
	}
	same("2: a range", []block.Piece{piece(0, 2, mib-3, 3), piece(0, 3, 0, 7)}, pieces)

	layout, _ := block.Pack(3, block.Room(4096), []block.Item{
		{Header: 100, Payload: 4096}, {Header: 100, Payload: 1000}, {Header: 100, Payload: 2000},
	})
	same("5: rows", 4196, layout.Rows)
	same("5: A", extent(4196, 4096, 4096), layout.Slots[0].Extent(7, 3, 4096))
	same("5: B", extent(2*mib+4196, 1000, 1000), layout.Slots[1].Extent(7, 3, 4096))
	same("5: C", extent(mib+4196, 2000, 2000), layout.Slots[2].Extent(7, 3, 4096))

	fragment, _ := block.StartFragment(5, mib, 300)
	same("6: fragment", extent(5*mib+300, 5_241_380, 1_048_276), fragment.Extent(7, 5))
	first, _ := block.Continue(5, 2*mib)
	second, _ := block.Continue(5, 3*mib)
	merged := block.Merge(block.Merge(nil, first.Extent(7, 5)), second.Extent(7, 5))
	same("6: continuations", []*typesv1.Extent{extent(10*mib, 10*mib, mib)}, merged)
	tail, _ := block.Tail(5, 4*mib, 380, 1_000_003)
	same("6: tail", extent(20*mib+380, 1_000_003, 200_001), tail.Extent(7, 5))
	same("6: tail's rows", 200_381, tail.Rows)
	same("6: object's size", 16_727_143, fragment.Length+first.Length+second.Length+tail.Length)
}
