package block

import typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"

// Span is the shape of a stream's frame: payload split over all k data columns from PayloadRow on, below a record's
// header in the first column unless the frame is a continuation.
type Span struct {
	// Row is the frame's first row.
	Row uint64
	// Rows is what the frame covers.
	Rows int
	// Header is the framed header's bytes; 0 in a continuation.
	Header int
	// Run is the payload's bytes in each column; the last one may hold fewer.
	Run int
	// Length is the payload's bytes in all.
	Length int
}

// StartFragment shapes the frame that begins a fragment at the row end: it takes all rows to the block's end, and its
// payload fills every column. It says false if the header leaves no row for payload: then go on at the next block.
func StartFragment(k int, end uint64, header int) (Span, bool) {
	rows := Room(end)
	run := rows - header
	if run < 1 {
		return Span{}, false
	}
	return Span{Row: end, Rows: rows, Header: header, Run: run, Length: k * run}, true
}

// Continue shapes a frame that carries on with the payload of the fragment before it: a full stripe. It says false
// unless end is a block boundary.
func Continue(k int, end uint64) (Span, bool) {
	if end%Size != 0 {
		return Span{}, false
	}
	return Span{Row: end, Rows: Size, Run: Size, Length: k * Size}, true
}

// Tail shapes the frame of an object's last piece of length bytes, perhaps 0, split evenly over the columns. It says
// false if it does not fit between end and the block's end: then go on at the next block.
func Tail(k int, end uint64, header, length int) (Span, bool) {
	run := SplitRun(length, k)
	s := Span{Row: end, Rows: header + run, Header: header, Run: run, Length: length}
	return s, s.Rows <= Room(end)
}

// Extent is the payload's address in a volume with k data columns.
func (s Span) Extent(volume uint64, k int) *typesv1.Extent {
	return &typesv1.Extent{
		Volume: volume,
		Offset: Address(k, 0, s.Row+uint64(s.Header)),
		Length: uint64(s.Length),
		Run:    uint32(s.Run),
	}
}

// Fill copies payload bytes that stand `at` bytes behind the payload's first one into the frame. The whole payload
// may come in parts, in order.
func (s Span) Fill(f *Frame, at int, p []byte) {
	for len(p) > 0 {
		column, within := at/s.Run, at%s.Run
		n := min(s.Run-within, len(p))
		f.Fill(column, s.Header+within, p[:n])
		p, at = p[n:], at+n
	}
}

// FillHeader copies the record's header; it comes before the payload.
func (s Span) FillHeader(f *Frame, header []byte) { f.Fill(0, 0, header) }

// Merge appends an extent to a list, growing the last one when it carries on where that ends and both are plain
// ranges of whole blocks.
func Merge(list []*typesv1.Extent, next *typesv1.Extent) []*typesv1.Extent {
	if n := len(list); n > 0 {
		last := list[n-1]
		if last.GetVolume() == next.GetVolume() && last.GetRun() == Size && next.GetRun() == Size &&
			last.GetOffset()+last.GetLength() == next.GetOffset() {
			last.Length += next.GetLength()
			return list
		}
	}
	return append(list, next)
}
