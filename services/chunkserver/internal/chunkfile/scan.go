package chunkfile

import (
	"errors"
	"fmt"
	"io"

	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
)

// scanWindow is how much a search for later frames reads at once.
const scanWindow = 1 << 20

// Scan is the chain of frames that a file holds.
type Scan struct {
	Entries []format.Entry
	// End is the end of the chain; damaged frames count.
	End End
	// Damaged: a frame below the end did not verify.
	Damaged bool
	// Torn is the number of frames that begin after the end: written, never synced, and of no use without those before.
	Torn int
}

// Recover walks the frames of a chunk that was open and verifies them, data included. A bad frame with a later one that
// knew it to be synced is rot, and everything is kept; else the chain ends there. Nothing is changed.
// Errors: those of reading, when they leave open where the chain ends.
func Recover(f vfs.Reader, key format.Key, nonce uint64) (Scan, error) {
	size, err := f.Size()
	if err != nil {
		return Scan{}, fmt.Errorf("recover a chunk: %w", err)
	}
	s := newScanner(f, key, nonce, size)
	for s.step() {
	}
	if s.err != nil {
		return Scan{}, fmt.Errorf("recover a chunk: %w", s.err)
	}
	s.out.Torn = len(s.later)
	return s.out, nil
}

// Load reads the frame headers of a chunk whose end is known, for an index: rows that no header vouches for are lost.
func Load(f vfs.Reader, key format.Key, nonce uint64, end End) (Scan, error) {
	s := newScanner(f, key, nonce, end.Offset)
	s.known = &end
	for s.step() {
	}
	if s.err != nil {
		return Scan{}, fmt.Errorf("load a chunk's frames: %w", s.err)
	}
	if s.out.End.Row < end.Row {
		s.lose(end.Row)
	}
	s.out.End = end
	return s.out, nil
}

// found is a valid header that lies beyond a bad frame.
type found struct {
	offset int64
	header *format.FrameHeader
}

// scanner walks a file.
type scanner struct {
	f     vfs.Reader
	key   format.Key
	nonce uint64
	size  int64
	// known is the chunk's end when the catalogue has it: then data is not verified and whatever is bad is damage.
	known *End

	out        Scan
	page, data []byte
	// searched says that later holds all valid headers beyond the first bad frame, in order.
	searched bool
	later    []found
	// unreadable is the first read error beyond the chain: where the chain ends cannot be said then, unless a later
	// frame proves that it goes on.
	unreadable error
	err        error
}

func newScanner(f vfs.Reader, key format.Key, nonce uint64, size int64) *scanner {
	return &scanner{
		f: f, key: key, nonce: nonce, size: size, page: make([]byte, format.PageSize),
		out: Scan{End: End{Offset: format.PageSize}},
	}
}

// step takes the next frame into the chain, or what rot left of it; false at the chain's end.
func (s *scanner) step() bool {
	at := s.out.End.Offset
	if at >= s.size {
		return false
	}
	header, err := s.header(at)
	if err != nil {
		s.unreadable = err
	}
	next := header != nil && header.Row == s.out.End.Row
	if next && (s.known != nil || s.verify(at, header)) {
		s.take(at, header, false)
		return true
	}
	if !s.searched {
		s.search(at + format.PageSize)
	}
	for len(s.later) > 0 && s.later[0].offset <= at {
		s.later = s.later[1:]
	}
	switch {
	case !s.proven(at):
		if s.known == nil {
			s.err = s.unreadable
		}
		return false
	case next:
		s.take(at, header, true)
	default:
		s.skip()
	}
	return true
}

// take adds a frame to the chain.
func (s *scanner) take(at int64, h *format.FrameHeader, damaged bool) {
	s.out.Entries = append(s.out.Entries, format.Entry{
		Offset: at, Row: h.Row, Rows: h.Rows, Stored: h.Stored, GranuleLog2: h.GranuleLog2,
		Continuation: h.Continuation, Damaged: damaged, CRCs: h.CRCs,
	})
	s.out.Damaged = s.out.Damaged || damaged
	s.out.End = End{Row: h.Row + uint64(h.Rows), Offset: at + format.FrameSize(h.Stored, h.GranuleLog2)}
	s.unreadable = nil
}

// skip goes on at the next valid frame; the rows before it are lost. Those that do not grow are no frames of the chain.
func (s *scanner) skip() {
	for len(s.later) > 0 && s.later[0].header.Row <= s.out.End.Row {
		s.later = s.later[1:]
	}
	if len(s.later) == 0 {
		s.err = errors.New("no frame follows the damaged one") // proven says otherwise
		return
	}
	s.lose(s.later[0].header.Row)
	s.out.End.Offset = s.later[0].offset
	s.unreadable = nil
}

// lose adds lost rows up to `to`, block by block, as entries are.
func (s *scanner) lose(to uint64) {
	for row := s.out.End.Row; row < to; row = s.out.End.Row {
		rows := min(to-row, format.BlockSize-row%format.BlockSize)
		s.out.Entries = append(s.out.Entries, format.Entry{
			Offset: s.out.End.Offset, Row: row, Rows: uint32(rows), GranuleLog2: format.MaxGranuleLog2, Damaged: true, Lost: true,
		})
		s.out.End.Row = row + rows
	}
	s.out.Damaged = true
}

// proven says whether a later frame of the chain knew that what lies at offset at was on stable storage.
func (s *scanner) proven(at int64) bool {
	for _, l := range s.later {
		if l.header.Row <= s.out.End.Row {
			continue
		}
		if s.known != nil || l.header.SyncedOffset > uint64(at) || l.header.SyncedRow > s.out.End.Row {
			return true
		}
	}
	return false
}

// search finds all valid headers of this chunk from offset on. That a header is whole proves that its frame was
// written after the syncs it speaks of; whether its data is whole does not matter for that.
func (s *scanner) search(from int64) {
	s.searched = true
	window := make([]byte, scanWindow+format.PageSize)
	for at := from; at < s.size; at += scanWindow {
		n, err := s.f.ReadAt(window[:min(int64(len(window)), s.size-at)], at)
		if err != nil && !errors.Is(err, io.EOF) {
			s.unreadable = err
		}
		for i := 0; i < min(n, scanWindow); i += format.PageSize {
			if h, err := format.ParseFrameHeader(window[i:min(n, i+format.PageSize)]); err == nil && s.ours(h) {
				s.later = append(s.later, found{offset: at + int64(i), header: h})
			}
		}
	}
}

func (s *scanner) ours(h *format.FrameHeader) bool { return h.Key == s.key && h.Nonce == s.nonce }

// header reads the frame header at an offset; nil if there is none of this chunk. The error is one of reading.
func (s *scanner) header(at int64) (*format.FrameHeader, error) {
	page := s.page[:min(format.PageSize, s.size-at)]
	n, err := s.f.ReadAt(page, at)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if h, err := format.ParseFrameHeader(page[:n]); err == nil && s.ours(h) {
		return h, nil
	}
	return nil, nil // what does not parse is no frame, which is an answer
}

// verify reads and checks a frame's data.
func (s *scanner) verify(at int64, h *format.FrameHeader) bool {
	if s.data == nil {
		s.data = make([]byte, format.BlockSize)
	}
	data := s.data[:h.Stored]
	_, err := s.f.ReadAt(data, at+int64(format.DataStart(h.Stored, h.GranuleLog2)))
	if err != nil && !errors.Is(err, io.EOF) {
		s.unreadable = err
	}
	return err == nil && format.CheckData(data, h.CRCs, 0, h.GranuleLog2) < 0
}
