package chunkfile

import (
	"fmt"
	"sync"

	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// Rows is the answer to a read: verified bytes and checksums for their way to the reader.
type Rows struct {
	// Data may be shorter than what was asked for: the rest is zeros.
	Data []byte
	// Head is the length of the first piece under a checksum, Granule that of the others; the last may be short.
	Head, Granule uint32
	CRCs          []uint32
}

// DamageError says that rows were stored and cannot be read as they were.
type DamageError struct {
	// Row is the first one of the damaged frame.
	Row uint64
	// Cause is the disk's error, nil when bytes do not match their checksums.
	Cause error
}

// Error implements error.
func (e *DamageError) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("the frame at row %d cannot be read: %v", e.Row, e.Cause)
	}
	return fmt.Sprintf("the frame at row %d does not match its checksums", e.Row)
}

// Unwrap returns the disk's error.
func (e *DamageError) Unwrap() error { return e.Cause }

// Reader reads rows. The zero value works and is safe for concurrent use.
type Reader struct {
	// scratch holds *[]byte of a block, for reads that have to verify more than they answer.
	scratch sync.Pool
}

// Read answers rows of one block below end, verified. It reads into dst if that is long enough, which Data then
// aliases; else into new memory. It uses dst up to its capacity, and where whole granules fit into that, Data begins
// somewhere in it: so nothing is copied. Errors: RANGE_NOT_SATISFIABLE, INVALID_ARGUMENT, *DamageError.
func (r *Reader) Read(f vfs.Reader, x *Index, end, row uint64, rows uint32, dst []byte) (Rows, error) {
	if err := format.CheckFrame(row, rows, 0, format.MaxGranuleLog2); err != nil {
		return Rows{}, invalid(err)
	}
	to := row + uint64(rows)
	var frames []format.Entry
	if to <= end {
		frames = covering(x.Entries(), row, to)
	}
	if frames == nil {
		return Rows{}, fault.New(codes.OutOfRange, typesv1.Reason_REASON_RANGE_NOT_SATISFIABLE,
			"rows %d to %d are not there, the chunk ends at %d", row, to, end)
	}
	if len(frames) == 1 {
		return r.readOne(f, &frames[0], row, rows, dst)
	}
	return r.readMany(f, frames, row, to, dst)
}

// part is what a read wants of one frame: stored bytes [from, to), and the granules [low, high) of bytes that have to
// be read to verify them.
type part struct {
	from, to, low, high int64
	first               int
}

// partOf finds what of [row, end) a frame stores; zeros at its end are not stored.
func partOf(e *format.Entry, row, end uint64) part {
	from := int64(max(row, e.Row) - e.Row)
	to := min(int64(min(end, e.End())-e.Row), int64(e.Stored))
	if from >= to {
		return part{}
	}
	granule := int64(1) << e.GranuleLog2
	return part{
		from: from, to: to, low: from &^ (granule - 1), high: min((to+granule-1)&^(granule-1), int64(e.Stored)),
		first: int(from >> e.GranuleLog2),
	}
}

func (p part) exact() bool { return p.low == p.from && p.high == p.to }

// readOne is the common case: rows of one frame, by one pread, under the frame's own checksums where they fit.
func (r *Reader) readOne(f vfs.Reader, e *format.Entry, row uint64, rows uint32, dst []byte) (Rows, error) {
	if e.Lost {
		return Rows{}, &DamageError{Row: e.Row}
	}
	p := partOf(e, row, row+uint64(rows))
	out := Rows{Granule: 1 << e.GranuleLog2}
	if p.to == p.from {
		return out, nil
	}
	if granules := p.high - p.low; int64(cap(dst)) >= granules {
		if err := fetch(f, e, p, dst[:granules]); err != nil {
			return Rows{}, err
		}
		out.Data = dst[p.from-p.low : p.to-p.low]
		out.Head, out.CRCs = pieces(e, p, out.Data)
		return out, nil
	}
	if int64(len(dst)) < p.to-p.from {
		dst = make([]byte, p.to-p.from)
	}
	out.Data = dst[:p.to-p.from]
	if err := r.fetchPart(f, e, p, out.Data); err != nil {
		return Rows{}, err
	}
	out.Head, out.CRCs = pieces(e, p, out.Data)
	return out, nil
}

// fetch reads the granules of a part and verifies them.
func fetch(f vfs.Reader, e *format.Entry, p part, buf []byte) error {
	if _, err := f.ReadAt(buf, e.DataOffset()+p.low); err != nil {
		return &DamageError{Row: e.Row, Cause: err}
	}
	if format.CheckData(buf, e.CRCs, p.first, e.GranuleLog2) >= 0 {
		return &DamageError{Row: e.Row}
	}
	return nil
}

// pieces are the checksums of a part's bytes: the stored ones for whole granules, new ones for the cut first and last.
func pieces(e *format.Entry, p part, data []byte) (head uint32, crcs []uint32) {
	granule := int64(1) << e.GranuleLog2
	crcs = make([]uint32, 0, (p.high-p.low+granule-1)>>e.GranuleLog2)
	for at, i := p.from, p.first; at < p.to; i++ {
		low, high := int64(i)<<e.GranuleLog2, min(int64(i+1)<<e.GranuleLog2, int64(e.Stored))
		next := min(high, p.to)
		if at == low && next == high {
			crcs = append(crcs, e.CRCs[i])
		} else {
			crcs = append(crcs, format.Checksum(data[at-p.from:next-p.from]))
		}
		if at == p.from {
			head = uint32(next - at)
		}
		at = next
	}
	return head, crcs
}

// readMany puts rows of several frames together.
func (r *Reader) readMany(f vfs.Reader, frames []format.Entry, row, end uint64, dst []byte) (Rows, error) {
	if n := int(end - row); len(dst) >= n {
		dst = dst[:n]
	} else {
		dst = make([]byte, n)
	}
	used := 0
	for i := range frames {
		e := &frames[i]
		if e.Lost {
			return Rows{}, &DamageError{Row: e.Row}
		}
		p := partOf(e, row, end)
		if p.to == p.from {
			continue
		}
		at := int(e.Row + uint64(p.from) - row)
		clear(dst[used:at])
		into := dst[at : at+int(p.to-p.from)]
		if err := r.fetchPart(f, e, p, into); err != nil {
			return Rows{}, err
		}
		used = at + len(into)
	}
	out := Rows{Data: dst[:used], Granule: 1 << format.MaxGranuleLog2}
	out.Head = uint32(min(used, int(out.Granule)))
	for at := 0; at < used; at += int(out.Granule) {
		out.CRCs = append(out.CRCs, format.Checksum(out.Data[at:min(at+int(out.Granule), used)]))
	}
	return out, nil
}

// fetchPart fills into with a part, directly where whole granules are wanted.
func (r *Reader) fetchPart(f vfs.Reader, e *format.Entry, p part, into []byte) error {
	if p.exact() {
		return fetch(f, e, p, into)
	}
	buf, release := r.borrow(p.high - p.low)
	defer release()
	if err := fetch(f, e, p, buf); err != nil {
		return err
	}
	copy(into, buf[p.from-p.low:])
	return nil
}

// borrow lends n bytes, at most a block.
func (r *Reader) borrow(n int64) (buf []byte, release func()) {
	b, ok := r.scratch.Get().(*[]byte)
	if !ok {
		full := make([]byte, format.BlockSize)
		b = &full
	}
	return (*b)[:n], func() { r.scratch.Put(b) }
}
