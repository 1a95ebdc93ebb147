package volume

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/datapath/record"
)

// reshaper lays payload of a stream into a volume whatever its scheme: in one record when it fits into a stripe, else in
// several fragments, each split evenly over the columns. It copies, so it is for tails, whose shape is known at the end
// only, and for volumes of another scheme than the stripe was filled for. Its memory is not of the stripes' budget: it
// is needed exactly when the stripe that holds the budget cannot be given back.
type reshaper struct {
	stream *Stream
	// columns hold the payload, one after the other, length bytes in all.
	columns [][]byte
	length  int
	// offset is the payload's place in the object.
	offset uint64
	// tail is the header of the object's last record, which this payload ends; nil for fragments.
	tail *typesv1.RecordHeader
}

// lay implements load.
func (r *reshaper) lay(v *openVolume, row uint64) (laid, error) {
	var out laid
	for at := 0; ; {
		p, err := r.piece(v, row, at, out.extents)
		if err != nil {
			for _, frame := range out.frames {
				frame.memory.release()
			}
			return laid{}, err
		}
		for _, frame := range p.frames {
			out.frames = append(out.frames, frame)
			row += uint64(frame.rows)
		}
		out.extents = append(out.extents, p.extent)
		at += int(p.extent.GetLength())
		if p.last {
			return out, nil
		}
	}
}

// piece is one record, behind a filler where it needs a new block.
type piece struct {
	frames []laidFrame
	extent *typesv1.Extent
	last   bool
}

// piece lays the record that takes the payload from `at` on: to its end if that fits into a stripe, else as much as one
// holds.
func (r *reshaper) piece(v *openVolume, row uint64, at int, before []*typesv1.Extent) (piece, error) {
	k, length := v.scheme.K, r.length-at
	header := r.header(at, before)
	p := piece{last: true}
	span, fits := block.Tail(k, row, record.Size(header), length)
	if !fits && block.Room(row) < block.Size {
		filler := fillerFrame(v, block.Room(row))
		p.frames = append(p.frames, filler)
		row += uint64(filler.rows)
		span, fits = block.Tail(k, row, record.Size(header), length)
	}
	if !fits {
		header = r.stream.fragment(r.offset + uint64(at))
		if span, fits = block.StartFragment(k, row, record.Size(header)); !fits {
			return piece{}, fmt.Errorf("a header of %d bytes: %w", record.Size(header), errUnfit)
		}
		p.last = false
		if span.Length >= length { // without the tail's longer header it does fit
			span, _ = block.Tail(k, row, record.Size(header), length)
			p.last = r.tail == nil
		}
	}
	frame, err := r.fill(v, span, header, at)
	if err != nil {
		return piece{}, err
	}
	p.frames = append(p.frames, frame)
	p.extent = span.Extent(v.entry.GetId(), k)
	return p, nil
}

// header is that of the record which takes the payload from `at` to its end: the tail's, with the extents before it.
func (r *reshaper) header(at int, before []*typesv1.Extent) *typesv1.RecordHeader {
	if r.tail == nil {
		return r.stream.fragment(r.offset + uint64(at))
	}
	h, _ := proto.Clone(r.tail).(*typesv1.RecordHeader)
	h.Fragment = r.stream.number()
	h.ObjectOffset = r.offset + uint64(at)
	for _, extent := range before {
		h.Extents = block.Merge(h.GetExtents(), extent)
	}
	if len(h.GetExtents()) > maxExtents {
		h.Extents = nil // fragments name their places themselves; a list of any length does not fit into a header
	}
	return h
}

// fill makes the frame of one record.
func (r *reshaper) fill(v *openVolume, span block.Span, header *typesv1.RecordHeader, at int) (laidFrame, error) {
	framed, err := record.Append(nil, header, uint64(span.Length), uint32(span.Run))
	if err != nil {
		return laidFrame{}, fmt.Errorf("framing a record of a stream: %w", err)
	}
	frame := block.NewFrame(&v.lane.w.pool, v.code, span.Row, span.Rows)
	span.FillHeader(frame, framed)
	r.copy(frame, span, at)
	if err := frame.Encode(block.StreamGranuleLog2); err != nil {
		frame.Release()
		return laidFrame{}, fmt.Errorf("coding a record of a stream: %w", err)
	}
	rows := span.Rows
	if room := block.Room(span.Row); room-rows < leastRoom {
		rows = room // zeros to the block's end are not stored
	}
	return laidFrame{
		rows: rows, requests: frameRequests(v, frame), memory: frameMemory(frame),
	}, nil
}

// copy fills a span with the payload from `at` on.
func (r *reshaper) copy(frame *block.Frame, span block.Span, at int) {
	done := 0
	start := 0
	for _, column := range r.columns {
		column = column[:min(len(column), r.length-start)]
		from, to := max(at-start, 0), min(at+span.Length-start, len(column))
		if from < to {
			span.Fill(frame, done, column[from:to])
			done += to - from
		}
		start += len(column)
	}
}
