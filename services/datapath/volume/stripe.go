package volume

import (
	"fmt"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/datapath/record"
)

// mark is a place in a stream: the end of what was appended of it.
type mark struct {
	stream *Stream
	offset uint64
}

// stripe is a piece of a stream. Its payload is filled straight into the columns of a frame that has no place in a
// volume yet; it is shaped for one scheme, and a volume of another one gets the payload in frames of its own shape.
type stripe struct {
	stream *Stream
	code   *erasure.Code
	frame  *block.Frame
	memory *memory
	// offset is the payload's place in the object.
	offset uint64
	// header describes the record that begins here, head is where it goes in the first column. Both are absent in a
	// stripe that means to carry on with the payload of the one before it, and in one that is only gathered.
	header *typesv1.RecordHeader
	head   []byte
	// run is the payload's bytes in each column, columns those that have been begun.
	run     int
	columns [][]byte
	// length is the payload's bytes so far, limit what the stripe takes.
	length, limit int
	// last: it ends its object.
	last bool
}

// newStripe takes memory for a stripe; free is called when nothing reads it any more.
func newStripe(s *Stream, code *erasure.Code, sh shape, free func()) *stripe {
	frame := block.NewFrame(&s.w.pool, code, 0, sh.headSize+sh.run)
	t := &stripe{
		stream: s, code: code, frame: frame, offset: s.offset,
		header: sh.header, run: sh.run, limit: sh.limit, last: sh.last,
	}
	t.memory = newMemory(func(reusable bool) {
		if reusable {
			frame.Release()
		}
		free()
	})
	if sh.headSize > 0 {
		t.head = frame.Grow(0, 0, sh.headSize)
	}
	return t
}

// write takes in what fits of p and says how much that is.
func (t *stripe) write(p []byte) int {
	taken := 0
	for len(p) > 0 && !t.full() {
		n := copy(t.room(), p)
		t.length += n
		taken += n
		p = p[n:]
	}
	return taken
}

// room is where the next bytes go, as far as they lie together. The stripe must not be full; whoever puts bytes there
// counts them into length.
func (t *stripe) room() []byte {
	if t.length == len(t.columns)*t.run {
		t.columns = append(t.columns, t.frame.Grow(len(t.columns), len(t.head), min(t.run, t.limit-t.length)))
	}
	return t.columns[len(t.columns)-1][t.length%t.run:]
}

func (t *stripe) full() bool { return t.length == t.limit }

// seal writes the record's header and computes parity and checksums. The stripe must be full, and its header of the size that it was
// shaped for.
func (t *stripe) seal() error {
	if len(t.head) > 0 {
		framed, err := record.Append(t.head[:0:len(t.head)], t.header, uint64(t.length), uint32(t.run))
		if err != nil {
			return fmt.Errorf("framing a record of a stream: %w", err)
		}
		if len(framed) != len(t.head) {
			return fmt.Errorf("framing a record of a stream: %d bytes in a place for %d", len(framed), len(t.head))
		}
	}
	if err := t.frame.Encode(block.StreamGranuleLog2); err != nil {
		return fmt.Errorf("coding a stripe: %w", err)
	}
	return nil
}

// lay gives the stripe its frames in a volume.
func (t *stripe) lay(v *openVolume, row uint64) (laid, error) {
	if v.scheme != t.code.Scheme() {
		return t.reshape(v, row)
	}
	var out laid
	skip := func(frame laidFrame) {
		out.frames = append(out.frames, frame)
		row += uint64(frame.rows)
	}
	carriesOn := len(t.head) == 0
	follows := carriesOn && v.after == mark{t.stream, t.offset} && block.Room(row) == block.Size
	if carriesOn && !follows {
		// Something came between, so the payload needs a record of its own: a header without payload, to carry on from.
		header := t.stream.fragment(t.offset)
		if record.Size(header) > block.Room(row) {
			skip(fillerFrame(v, block.Room(row)))
		}
		opener, err := openerFrame(v, row, header)
		if err != nil {
			return laid{}, err
		}
		skip(opener)
	}
	if t.frame.Rows > block.Room(row) {
		skip(fillerFrame(v, block.Room(row)))
	}
	rows := t.frame.Rows
	if block.Room(row)-rows < leastRoom {
		rows = block.Room(row) // zeros to the block's end are not stored
	}
	t.memory.retain(1)
	out.frames = append(out.frames, laidFrame{rows: rows, requests: t.appends(v, carriesOn), memory: t.memory})
	span := block.Span{Row: row, Header: len(t.head), Run: t.run, Length: t.length}
	out.extents = []*typesv1.Extent{span.Extent(v.entry.GetId(), v.scheme.K)}
	if !t.last {
		out.after = mark{t.stream, t.offset + uint64(t.length)}
	}
	return out, nil
}

// appends are the stripe's own appends, new ones for each time it is sent.
func (t *stripe) appends(v *openVolume, carriesOn bool) []*chunkv1.AppendRequest {
	requests := frameRequests(v, t.frame)
	for _, request := range requests {
		request.Continuation = carriesOn
	}
	return requests
}

// reshape copies the payload into records of a volume's own shape.
func (t *stripe) reshape(v *openVolume, row uint64) (laid, error) {
	r := reshaper{stream: t.stream, columns: t.columns, length: t.length, offset: t.offset}
	if t.last {
		r.tail = t.header
	}
	return r.lay(v, row)
}

// openerFrame is a fragment's header without payload, in all rows to the block's end.
func openerFrame(v *openVolume, row uint64, header *typesv1.RecordHeader) (laidFrame, error) {
	framed, err := record.Append(nil, header, 0, block.Size)
	if err != nil {
		return laidFrame{}, fmt.Errorf("framing the beginning of a fragment: %w", err)
	}
	frame := block.NewFrame(&v.lane.w.pool, v.code, row, len(framed))
	frame.Fill(0, 0, framed)
	if err := frame.Encode(block.StreamGranuleLog2); err != nil {
		frame.Release()
		return laidFrame{}, fmt.Errorf("coding the beginning of a fragment: %w", err)
	}
	return laidFrame{
		rows: block.Room(row), requests: frameRequests(v, frame), memory: frameMemory(frame),
	}, nil
}
