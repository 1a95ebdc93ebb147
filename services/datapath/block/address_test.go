package block_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
)

func TestLocate(t *testing.T) {
	const size = block.Size
	cases := map[string]struct {
		address uint64
		k       int
		want    block.Place
	}{
		"first byte":                {0, 5, block.Place{}},
		"last byte of block 0":      {size - 1, 5, block.Place{Row: size - 1}},
		"first byte of block 1":     {size, 5, block.Place{Column: 1}},
		"last block of stripe 0":    {4*size + 7, 5, block.Place{Column: 4, Row: 7}},
		"first block of stripe 1":   {5 * size, 5, block.Place{Stripe: 1, Row: size}},
		"one data column":           {3*size + 9, 1, block.Place{Stripe: 3, Row: 3*size + 9}},
		"far out":                   {1<<40 + 3, 32, block.Place{Stripe: 1 << 15, Row: 1<<35 + 3}},
		"block 13 of five columns":  {13*size + 1, 5, block.Place{Stripe: 2, Column: 3, Row: 2*size + 1}},
		"block 13 of eight columns": {13*size + 1, 8, block.Place{Stripe: 1, Column: 5, Row: size + 1}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := block.Locate(c.address, c.k); got != c.want {
				t.Fatalf("Locate(%d, %d) = %+v, want %+v", c.address, c.k, got, c.want)
			}
		})
	}
}

func TestAddressIsTheInverseOfLocate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.IntRange(1, 32).Draw(t, "k")
		address := rapid.Uint64Max(1<<50).Draw(t, "address")
		p := block.Locate(address, k)
		if p.Column < 0 || p.Column >= k || p.Row/block.Size != p.Stripe {
			t.Fatalf("Locate(%d, %d) = %+v", address, k, p)
		}
		if back := block.Address(k, p.Column, p.Row); back != address {
			t.Fatalf("Address(Locate(%d)) = %d", address, back)
		}
	})
}

func TestPieces(t *testing.T) {
	const size = block.Size
	extent := func(offset, length uint64, run uint32) *typesv1.Extent {
		return &typesv1.Extent{Volume: 1, Offset: offset, Length: length, Run: run}
	}
	piece := func(stripe uint64, column int, row uint64, length int) block.Piece {
		return block.Piece{Place: block.Place{Stripe: stripe, Column: column, Row: row}, Length: length}
	}
	cases := map[string]struct {
		extent       *typesv1.Extent
		k            int
		from, length uint64
		want         []block.Piece
	}{
		"whole in one column": {extent(100, 4096, 4096), 5, 0, 4096, []block.Piece{piece(0, 0, 100, 4096)}},
		"a range of it":       {extent(100, 4096, 4096), 5, 10, 20, []block.Piece{piece(0, 0, 110, 20)}},
		"empty extent":        {extent(100, 0, 1), 5, 0, 0, nil},
		"empty range":         {extent(100, 4096, 4096), 5, 50, 0, nil},
		"from the end":        {extent(100, 4096, 4096), 5, 4096, 1, nil},
		"beyond the end":      {extent(100, 4096, 4096), 5, 5000, 1, nil},
		"length wraps":        {extent(100, 4096, 4096), 5, 4095, 1<<64 - 1, []block.Piece{piece(0, 0, 4195, 1)}},
		"split over columns": {
			extent(50, 25, 10), 3, 0, 25,
			[]block.Piece{piece(0, 0, 50, 10), piece(0, 1, 50, 10), piece(0, 2, 50, 5)},
		},
		"middle of a split": {
			extent(50, 25, 10), 3, 9, 12,
			[]block.Piece{piece(0, 0, 59, 1), piece(0, 1, 50, 10), piece(0, 2, 50, 1)},
		},
		"split wraps into the next stripe": {
			extent(2*size+50, 20, 10), 3, 0, 20,
			[]block.Piece{piece(0, 2, 50, 10), piece(1, 0, size+50, 10)},
		},
		"contiguous, not aligned": {
			extent(size-3, 2*size, size), 2, 0, 2 * size,
			[]block.Piece{piece(0, 0, size-3, 3), piece(0, 1, 0, size), piece(1, 0, size, size-3)},
		},
		"contiguous, last byte": {extent(0, 4*size, size), 2, 4*size - 1, 1, []block.Piece{piece(1, 1, 2*size-1, 1)}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var got []block.Piece
			for p := range block.Pieces(c.extent, c.k, c.from, c.length) {
				got = append(got, p)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Fatalf("pieces (-want +got):\n%s", diff)
			}
		})
	}
}
