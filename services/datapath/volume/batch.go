package volume

import (
	"fmt"
	"slices"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/datapath/record"
)

// leastRoom is the rows below which the rest of a block is skipped after a packed frame: hardly a record fits.
const leastRoom = 1 << 10

// batch is parcels that share a frame.
type batch struct {
	packer *packer
	// parcels are chosen when the batch is laid for the first time, as late as can be.
	parcels []*parcel
}

// lay places the parcels side by side in one frame.
func (b *batch) lay(v *openVolume, row uint64) (laid, error) {
	k, room := v.scheme.K, block.Room(row)
	fresh := false
	if b.parcels == nil {
		b.parcels, fresh = b.packer.take(k, room)
	}
	if len(b.parcels) == 0 {
		b.parcels = nil
		return laid{}, errEmpty
	}
	var out laid
	items := make([]block.Item, len(b.parcels))
	for i, c := range b.parcels {
		items[i] = c.item()
	}
	layout, ok := block.Pack(k, room, items)
	if (fresh || !ok) && room < block.Size {
		out.frames = append(out.frames, fillerFrame(v, room))
		row, room = row+uint64(room), block.Size
		layout, ok = block.Pack(k, room, items)
	}
	if !ok {
		return laid{}, fmt.Errorf("%d records under %s: %w", len(items), v.scheme, errUnfit)
	}
	frame := block.NewFrame(&v.lane.w.pool, v.code, row, layout.Rows)
	extents, err := b.fill(frame, layout, v, row)
	if err == nil {
		err = frame.Encode(block.PackedGranuleLog2)
	}
	if err != nil {
		frame.Release()
		return laid{}, fmt.Errorf("laying out %d records: %w", len(items), err)
	}
	rows := layout.Rows
	if room-rows < leastRoom {
		rows = room // zeros to the block's end are not stored
	}
	out.frames = append(out.frames, laidFrame{
		rows: rows, requests: frameRequests(v, frame), memory: frameMemory(frame),
	})
	out.extents = extents
	return out, nil
}

// fill copies all records into the frame and returns their payloads' addresses, in the parcels' order.
func (b *batch) fill(frame *block.Frame, layout block.Layout, v *openVolume, row uint64) ([]*typesv1.Extent, error) {
	for _, i := range layout.Order {
		c, slot := b.parcels[i], layout.Slots[i]
		framed := c.framed
		if whole := max(len(c.payload), 1); slot.Run != whole {
			var err error
			framed, err = record.Append(nil, c.header, uint64(len(c.payload)), uint32(slot.Run))
			if err != nil {
				return nil, fmt.Errorf("framing a split record: %w", err)
			}
		}
		slot.Fill(frame, framed, c.payload)
	}
	extents := make([]*typesv1.Extent, len(b.parcels))
	for i, slot := range layout.Slots {
		extents[i] = slot.Extent(v.entry.GetId(), v.scheme.K, row)
	}
	return extents, nil
}

// resolve tells the parcels where they are.
func (b *batch) resolve(f *flight) {
	term := f.volume.term.id
	for i, c := range b.parcels {
		c.placed = Placed{
			Extents: slices.Clip(f.extents[i : i+1]), Writer: f.volume.lane.w.name, Term: term, OldestTerm: term,
		}
		close(c.done)
	}
}

func (b *batch) fail(err error) {
	for _, c := range b.parcels {
		c.fail(err)
	}
}

// frameRequests are the appends of an encoded frame, one per column; place and marks are filled in later.
func frameRequests(v *openVolume, frame *block.Frame) []*chunkv1.AppendRequest {
	requests := make([]*chunkv1.AppendRequest, len(v.refs))
	for column, ref := range v.refs {
		requests[column] = frame.Request(column, ref, block.Append{})
	}
	return requests
}

// fillerFrame is zeros in every column: it takes the rows that nothing was put into, so that each frame begins where
// the chunk ends.
func fillerFrame(v *openVolume, rows int) laidFrame {
	requests := make([]*chunkv1.AppendRequest, len(v.refs))
	for column, ref := range v.refs {
		requests[column] = &chunkv1.AppendRequest{Chunk: ref, GranuleLog2: block.PackedGranuleLog2}
	}
	return laidFrame{rows: rows, requests: requests, memory: newMemory(func(bool) {})}
}
