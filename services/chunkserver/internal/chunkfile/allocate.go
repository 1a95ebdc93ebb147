package chunkfile

import (
	"sync"
	"sync/atomic"

	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
)

const (
	// firstAllocation is what a new chunk gets: a volume that stays small costs no more.
	firstAllocation = 1 << 20
	// aheadMax bounds what is allocated before it is needed: as much again as a chunk has, up to this.
	aheadMax = 16 << 20
)

// space is a chunk file's allocation.
type space struct {
	// allocated is the file's length, all of it backed by space.
	allocated atomic.Int64
	// limit is what is worth allocating ahead of need: all that may come.
	limit int64

	// target is up to where the next allocation ahead goes.
	target atomic.Int64
	// pending says that an allocation in the background was asked for.
	pending atomic.Bool

	mu     sync.Mutex // held while allocating
	closed bool
}

func (s *space) init(capacity uint64) {
	const most = 1 << 62
	rows := int64(min(capacity, most))
	// Headers and padding of frames take little beside full blocks; what small ones take more is allocated on need.
	s.limit = format.PageSize + rows + rows/16
	s.allocated.Store(firstAllocation)
}

func (s *space) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// makeRoom sees to it that the file has space up to `need` before bytes are written: then a write cannot run out of it.
func (w *Writer) makeRoom(need int64) error {
	s := &w.space
	if need <= s.allocated.Load() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if need <= s.allocated.Load() || w.extend(need+firstAllocation) == nil {
		return nil
	}
	// Nearly full: no more than what is needed.
	if err := w.extend(need); err != nil {
		return w.disk.Failed("allocate space", err)
	}
	return nil
}

// extend allocates up to `to`; the space's lock is held.
func (w *Writer) extend(to int64) error {
	from := w.space.allocated.Load()
	to = format.PageAlign(to)
	if err := w.disk.Reserve(to - from); err != nil {
		return err
	}
	if err := w.file.Allocate(from, to-from); err != nil {
		return err
	}
	w.space.allocated.Store(to)
	return nil
}

// allocateAhead asks for more space in the background once half of what should be ahead is used; the next frame, if it is
// like the last one, still fits the other half.
func (w *Writer) allocateAhead(used, frame int64) {
	s := &w.space
	have, ahead := s.allocated.Load(), min(max(used, firstAllocation), aheadMax)+2*frame
	if have >= s.limit || have-used >= ahead/2 || !s.pending.CompareAndSwap(false, true) {
		return
	}
	s.target.Store(min(used+ahead, s.limit))
	if !w.disk.Background(w.allocateNext) {
		s.pending.Store(false)
	}
}

// allocateNext is the background's part. Whether it works is of no interest: what is missing is allocated on need, and
// who needs it is told.
func (w *Writer) allocateNext() {
	s := &w.space
	defer s.pending.Store(false)
	s.mu.Lock()
	defer s.mu.Unlock()
	if to := s.target.Load(); !s.closed && to > s.allocated.Load() {
		_ = w.extend(to)
	}
}
