package block

import (
	"fmt"
	"hash/crc32"
	"slices"
	"sync/atomic"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
)

// Frame is one append in the making: rows [Row, Row+Rows) of every column of a volume. Its writer fills the data
// columns from the top down, encodes, and hands one request to each member; then the frame is read-only until its
// last user releases it. Filling and encoding are for one goroutine.
type Frame struct {
	// Row is the first row.
	Row uint64
	// Rows is 1 to Size, and the frame stays inside one block.
	Rows int

	code    *erasure.Code
	columns []*Buffer
	// filled counts the bytes of each column, from its top, that are not known to be zeros.
	filled []int
	// sums are the checksums of each column's whole granules of 1<<granuleLog2 bytes.
	sums        [][]uint32
	granuleLog2 uint32
	users       atomic.Int32
}

// NewFrame takes n buffers of the pool for a frame. It must lie inside one block; that is the caller's arithmetic,
// so it panics otherwise. Release it once.
func NewFrame(pool *Pool, code *erasure.Code, row uint64, rows int) *Frame {
	if rows < 1 || rows > Room(row) {
		panic(fmt.Sprintf("block: a frame of %d rows at row %d crosses a block", rows, row))
	}
	n := code.Scheme().N()
	f := &Frame{Row: row, Rows: rows, code: code, columns: make([]*Buffer, n), filled: make([]int, n), sums: make([][]uint32, n)}
	for c := range f.columns {
		f.columns[c] = pool.Get(rows)
	}
	f.users.Store(1)
	return f
}

// Fill copies bytes into a data column, beginning `at` rows below the frame's first row. What lies between the
// column's earlier bytes and these becomes zeros. Columns are filled from the top down; it panics if the bytes
// overlap earlier ones or the frame's end.
func (f *Frame) Fill(column, at int, p []byte) {
	copy(f.Grow(column, at, len(p)), p)
}

// Grow is Fill for a writer that produces the bytes in place: it returns n bytes of a data column, dirty, which the
// caller overwrites entirely.
func (f *Frame) Grow(column, at, n int) []byte {
	filled := f.filled[column]
	if column >= f.code.Scheme().K || at < filled || n > f.Rows-at {
		panic(fmt.Sprintf("block: %d bytes at %d do not fit into column %d of a frame of %d rows with %d filled",
			n, at, column, f.Rows, filled))
	}
	b := f.columns[column].Bytes
	clear(b[filled:at])
	f.filled[column] = at + n
	return b[at : at+n]
}

// strip is how many rows are coded, and put under checksums, at a time: few enough that the columns' bytes are still in
// the processor's cache for the second pass, which then costs a quarter.
const strip = 64 << 10

// Encode pads the data columns with zeros and computes the parity columns and the checksums of granules of
// 1<<granuleLog2 bytes. Rows that are zeros in every data column are not coded: their parity is zeros too.
func (f *Frame) Encode(granuleLog2 uint32) error {
	k := f.code.Scheme().K
	tallest := 0
	for _, n := range f.filled[:k] {
		tallest = max(tallest, n)
	}
	f.granuleLog2 = granuleLog2
	for c, buffer := range f.columns {
		if c < k {
			// Pooled memory is dirty: without this, somebody else's bytes would go into the parity.
			clear(buffer.Bytes[f.filled[c]:tallest])
		} else {
			f.filled[c] = tallest
		}
		f.sums[c] = make([]uint32, 0, granules(f.filled[c], granuleLog2))
	}
	shards := make([][]byte, len(f.columns))
	for at := 0; at < tallest; at += strip {
		end := min(at+strip, tallest)
		for c, buffer := range f.columns {
			shards[c] = buffer.Bytes[at:end]
		}
		if err := f.code.Encode(shards); err != nil {
			return fmt.Errorf("coding a frame at row %d: %w", f.Row, err)
		}
		for c := range f.columns {
			if whole := min(end, f.filled[c]) &^ (1<<granuleLog2 - 1); whole > at {
				f.sums[c] = appendChecksums(f.sums[c], f.columns[c].Bytes[at:whole], granuleLog2)
			}
		}
	}
	return nil
}

// Append says what the requests of a frame have in common.
type Append struct {
	// SyncedRow is the row before which every column is known to be durable.
	SyncedRow uint64
	// Continuation marks a frame that carries on with the payload of the one before it.
	Continuation bool
}

// Request is the append of one column. Its data aliases the frame: hold the frame until the answer is there.
// Encode comes first. The caller sets the request id.
func (f *Frame) Request(column int, ref *chunkv1.ChunkRef, a Append) *chunkv1.AppendRequest {
	data := f.columns[column].Bytes[:f.filled[column]]
	data = data[:TrimZeros(data)]
	whole := len(data) >> f.granuleLog2
	crcs := f.sums[column][:whole:whole]
	if rest := data[whole<<f.granuleLog2:]; len(rest) > 0 {
		crcs = appendChecksums(slices.Clone(crcs), rest, f.granuleLog2)
	}
	return &chunkv1.AppendRequest{
		Chunk:        ref,
		Row:          f.Row,
		Rows:         uint32(f.Rows),
		Crcs:         crcs,
		GranuleLog2:  f.granuleLog2,
		SyncedRow:    a.SyncedRow,
		Continuation: a.Continuation,
		Data:         data,
	}
}

// Retain adds a user of the frame's bytes; each user releases once.
func (f *Frame) Retain() {
	if f.users.Add(1) <= 1 {
		panic("block: a released frame was retained")
	}
}

// Release ends a user's hold; the last one gives the buffers back.
func (f *Frame) Release() {
	switch left := f.users.Add(-1); {
	case left < 0:
		panic("block: a frame was released twice")
	case left == 0:
		for _, buffer := range f.columns {
			buffer.Release()
		}
	}
}

// Checksums is the CRC32C of each granule of 1<<granuleLog2 bytes; the last one may be short.
func Checksums(data []byte, granuleLog2 uint32) []uint32 {
	if len(data) == 0 {
		return nil
	}
	return appendChecksums(make([]uint32, 0, granules(len(data), granuleLog2)), data, granuleLog2)
}

// granules is how many checksums n bytes have.
func granules(n int, granuleLog2 uint32) int { return (n + 1<<granuleLog2 - 1) >> granuleLog2 }

func appendChecksums(sums []uint32, data []byte, granuleLog2 uint32) []uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	for granule := 1 << granuleLog2; len(data) > 0; {
		n := min(granule, len(data))
		sums = append(sums, crc32.Checksum(data[:n], table))
		data = data[n:]
	}
	return sums
}
