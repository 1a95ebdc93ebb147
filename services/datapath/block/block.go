// Package block is the arithmetic of volumes: where a logical address lies, which pieces an extent has, how records
// share a stripe, how a stream is cut into frames, and what an append carries. Everything here is pure; the numbers
// are the disk format and ../FORMAT.md explains them.
package block

import typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"

const (
	// Size is the bytes of a block: a volume's logical space is an array of blocks, dealt to the data columns in
	// turn. A frame never crosses a block's end.
	Size = 1 << 20

	// StreamGranuleLog2 is log2 of the bytes under one checksum in frames of streams: large, because they are read
	// in long runs.
	StreamGranuleLog2 = 16
	// PackedGranuleLog2 is log2 of the bytes under one checksum in packed frames: a small object is read alone, and
	// what shares its granules has to be read and checked with it.
	PackedGranuleLog2 = 13
	// MinGranuleLog2 is the smallest granule that a chunk-server accepts: a page of a file.
	MinGranuleLog2 = 12
	// MaxGranuleLog2 is the largest one.
	MaxGranuleLog2 = 16
)

// Place is a byte's place in a volume with k data columns.
type Place struct {
	// Stripe counts from 0.
	Stripe uint64
	// Column is a data column, 0 to k-1.
	Column int
	// Row is the byte position in the column.
	Row uint64
}

// Locate finds a logical address in a volume with k data columns.
func Locate(address uint64, k int) Place {
	number, within := address/Size, address%Size
	stripe := number / uint64(k)
	return Place{Stripe: stripe, Column: int(number % uint64(k)), Row: stripe*Size + within}
}

// Address is the inverse of Locate: the logical address of a row of a data column.
func Address(k, column int, row uint64) uint64 {
	stripe, within := row/Size, row%Size
	return (stripe*uint64(k)+uint64(column))*Size + within
}

// Room is the number of rows from row to the end of its block: what one frame can cover at most.
func Room(row uint64) int { return int(Size - row%Size) }

const (
	// maxExtent and maxAddress bound what CheckExtent accepts, far above any object and volume, so that sums of them
	// never wrap.
	maxExtent  = 1 << 43
	maxAddress = 1 << 62
)

// CheckExtent says whether an extent is well formed: a run of 1 to Size bytes that stays inside its block unless it
// is a whole block, and numbers from which no address can wrap.
func CheckExtent(e *typesv1.Extent) bool {
	run := uint64(e.GetRun())
	if run == 0 || run > Size || run != Size && e.GetOffset()%Size+run > Size {
		return false
	}
	return e.GetLength() < maxExtent && e.GetOffset() < maxAddress
}
