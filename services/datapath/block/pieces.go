package block

import (
	"iter"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
)

// Piece is bytes of an extent that lie in successive rows of one block.
type Piece struct {
	Place
	// Length is in bytes, at least 1.
	Length int
}

// Pieces yields the places of the bytes [from, from+length) of an extent in a volume with k data columns, in the
// order of the bytes, each as long as its run and its block allow. It stops at the extent's end. The extent must pass CheckExtent.
func Pieces(e *typesv1.Extent, k int, from, length uint64) iter.Seq[Piece] {
	return func(yield func(Piece) bool) {
		run := uint64(e.GetRun())
		end := e.GetLength()
		if from < end && length < end-from {
			end = from + length
		}
		for at := from; at < end; {
			within := at % run
			address := e.GetOffset() + at/run*Size + within
			n := min(Size-address%Size, end-at)
			if run != Size {
				// Whole blocks follow each other without a gap, shorter runs do not.
				n = min(n, run-within)
			}
			if !yield(Piece{Place: Locate(address, k), Length: int(n)}) {
				return
			}
			at += n
		}
	}
}
