package record

import (
	"errors"
	"fmt"
	"iter"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
)

// scanAhead is how much of a column is read at a place where a record may begin, in bytes: most headers fit, and a
// granule of a packed frame holds two.
const scanAhead = 4 << 10

// Frame is what Scan looks through: the data columns of one frame that is no continuation.
type Frame struct {
	// Volume goes into the extents of what is found.
	Volume uint64
	// K is the number of data columns.
	K int
	// Row is the frame's first row.
	Row uint64
	// Rows is what the frame covers, within one block.
	Rows int
}

// ReadRows fills dst with the rows of a data column that begin at row, zeros where nothing is stored.
type ReadRows func(column int, row uint64, dst []byte) error

// Found is a record in a volume.
type Found struct {
	Record
	// Column holds the header and the payload's first piece.
	Column int
	// Row is the header's first row.
	Row uint64
	// Extent is the payload's address; nil beside an error.
	Extent *typesv1.Extent
}

// Scan finds the records of a frame by their explicit lengths alone, so bytes of a payload are never taken for a
// record. It yields them in the order of their rows. Where a column cannot be read or a header is damaged it yields an
// error with the place and gives that column up, unless a record further down proves where the column goes on.
func Scan(f Frame, read ReadRows) iter.Seq2[Found, error] {
	return func(yield func(Found, error) bool) {
		s := scanner{frame: f, read: read, columns: make([]cursor, f.K)}
		for {
			c, ok := s.next()
			if !ok {
				return
			}
			found, err := s.step(c)
			if errors.Is(err, ErrNone) {
				s.columns[c].ended = true
				continue
			}
			if err != nil {
				s.columns[c].ended = true
				err = fmt.Errorf("volume %d, column %d, row %d: %w", f.Volume, c, found.Row, err)
			}
			if !yield(found, err) {
				return
			}
		}
	}
}

// cursor is how far a column has been walked.
type cursor struct {
	// at is counted from the frame's first row.
	at    int
	ended bool
}

type scanner struct {
	frame   Frame
	read    ReadRows
	columns []cursor
	buffer  []byte
}

// next picks the column whose cursor is the highest one up, the leftmost of several: a split record is met in its
// first column before its pieces in the others are looked at.
func (s *scanner) next() (int, bool) {
	best := -1
	for c, cur := range s.columns {
		if !cur.ended && (best < 0 || cur.at < s.columns[best].at) {
			best = c
		}
	}
	return best, best >= 0
}

// step reads the record at a column's cursor and moves the cursors behind it.
func (s *scanner) step(c int) (Found, error) {
	at := s.columns[c].at
	found := Found{Column: c, Row: s.frame.Row + uint64(at)}
	header, err := s.header(c, at)
	if err != nil {
		return found, err
	}
	if found.Record, err = Parse(header); err != nil {
		return found, err
	}
	if err := s.claim(found, at); err != nil {
		return found, err
	}
	found.Extent = &typesv1.Extent{
		Volume: s.frame.Volume,
		Offset: block.Address(s.frame.K, c, found.Row+uint64(found.Size)),
		Length: found.Payload,
		Run:    found.Run,
	}
	return found, nil
}

// header reads the bytes of the header at a row, or as many as the frame holds.
func (s *scanner) header(c, at int) ([]byte, error) {
	size := min(scanAhead, s.frame.Rows-at)
	if size <= 0 {
		return nil, ErrNone
	}
	if err := s.fetch(c, at, size); err != nil {
		return nil, err
	}
	need, err := Length(s.buffer)
	if err != nil {
		if errors.Is(err, ErrShort) {
			err = fmt.Errorf("%w: the frame ends inside a header", ErrCorrupt)
		}
		return nil, err
	}
	if need > s.frame.Rows-at {
		return nil, fmt.Errorf("%w: a header of %d bytes goes beyond the frame", ErrCorrupt, need)
	}
	if need > size {
		if err := s.fetch(c, at, need); err != nil {
			return nil, err
		}
	}
	return s.buffer, nil
}

func (s *scanner) fetch(c, at, size int) error {
	if cap(s.buffer) < size {
		s.buffer = make([]byte, size)
	}
	s.buffer = s.buffer[:size]
	if err := s.read(c, s.frame.Row+uint64(at), s.buffer); err != nil {
		return fmt.Errorf("reading %d rows: %w", size, err)
	}
	return nil
}

// claim moves the cursors of all columns that a record has pieces in. A record that goes beyond the frame, or lies
// over one that was met before, is damage, whatever its checksum says.
func (s *scanner) claim(found Found, at int) error {
	left := found.Payload
	top := at + found.Size
	last := found.Column + int((found.Payload+uint64(found.Run)-1)/uint64(found.Run))
	if last > s.frame.K || top+int(min(left, uint64(found.Run))) > s.frame.Rows {
		return fmt.Errorf("%w: a payload of %d bytes in runs of %d goes beyond the frame", ErrCorrupt, left, found.Run)
	}
	for c := found.Column + 1; c < last; c++ {
		if s.columns[c].at > at {
			return fmt.Errorf("%w: a piece in column %d lies over another record", ErrCorrupt, c)
		}
	}
	s.columns[found.Column] = cursor{at: top}
	for c := found.Column; c < last; c++ {
		n := min(left, uint64(found.Run))
		s.columns[c] = cursor{at: top + int(n)}
		left -= n
	}
	return nil
}
