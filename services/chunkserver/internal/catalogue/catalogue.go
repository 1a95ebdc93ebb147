// Package catalogue is a disk's log of what chunks it has and how far their lives have gone, so that a start reads one
// file instead of all of them.
//
// Constraints:
//
//  1. Put returns after its record is on stable storage; one sync serves all that wait.
//  2. A slot that holds an acknowledged record is never written again.
//  3. A new file replaces an old one only when it is whole and durable; no rename is involved.
//  4. A bad slot below what a later slot knew to be synced is rot and is reported, never cut off. Else it is the torn
//     tail of writes that nobody was told about, and is.
//  5. After an error of a write or a sync nothing is written to the log any more.
package catalogue

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
)

const (
	// ahead is the space kept allocated beyond the last slot: 512 fences fit when the disk is full.
	ahead = 512 * format.SlotSize
	// garbageFloor is how many slots a log may have beyond twice its chunks before it is written anew: 2 MiB, below
	// which reading it all takes no time that matters.
	garbageFloor = 4096
	// rewriteBatch bounds the buffer that writes a new file.
	rewriteBatch = 2048
)

// ErrClosed says that the log was closed.
var ErrClosed = errors.New("the catalogue is closed")

// Log is an open catalogue.
type Log struct {
	fs   vfs.FS
	dir  string
	disk string
	// floor is garbageFloor, except in tests.
	floor uint64

	mu   sync.Mutex
	next *batch
	busy bool
	idle *sync.Cond
	// broken is why nothing can be written any more.
	broken error
	live   map[format.Key]format.ChunkRecord

	// What follows belongs to the one goroutine that set busy.
	file      vfs.File
	number    uint64
	slots     uint64
	allocated int64
}

// batch is the records that one sync will make durable.
type batch struct {
	records []format.ChunkRecord
	done    chan struct{}
	err     error
}

// Create makes the catalogue of a disk that is being formatted, durably.
func Create(fs vfs.FS, dir, disk string) error {
	l := newLog(fs, dir, disk)
	if err := l.replace(nil); err != nil {
		return err
	}
	return l.file.Close()
}

func newLog(fs vfs.FS, dir, disk string) *Log {
	l := &Log{fs: fs, dir: dir, disk: disk, floor: garbageFloor, live: map[format.Key]format.ChunkRecord{}}
	l.idle = sync.NewCond(&l.mu)
	return l
}

func fileName(number uint64) string { return fmt.Sprintf("%s%08d", prefix, number) }

// Records is the state of every chunk, in the order of keys.
func (l *Log) Records() []format.ChunkRecord {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]format.ChunkRecord, 0, len(l.live))
	for _, r := range l.live {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b format.ChunkRecord) int { return a.Key.Compare(b.Key) })
	return out
}

// Put makes a chunk's new state durable. Errors are those of the file system; after one that is not ENOSPC every Put
// fails.
func (l *Log) Put(record format.ChunkRecord) error {
	l.mu.Lock()
	if l.broken != nil {
		defer l.mu.Unlock()
		return l.broken
	}
	if l.next == nil {
		l.next = &batch{done: make(chan struct{})}
	}
	mine := l.next
	mine.records = append(mine.records, record)
	if !l.busy {
		l.lead()
	}
	l.mu.Unlock()
	<-mine.done
	return mine.err
}

// lead writes batches until none is left; the lock is held when it begins and ends, not while it writes.
func (l *Log) lead() {
	l.busy = true
	for l.next != nil {
		b := l.next
		l.next = nil
		if l.broken == nil {
			l.mu.Unlock()
			b.err = l.write(b.records)
			l.mu.Lock()
			if b.err != nil && !errors.Is(b.err, unix.ENOSPC) {
				l.broken = b.err
			}
		} else {
			b.err = l.broken
		}
		close(b.done)
	}
	l.busy = false
	l.idle.Broadcast()
}

// write makes records durable and then part of the live state.
func (l *Log) write(records []format.ChunkRecord) error {
	if l.slots+uint64(len(records)) > 2*uint64(l.countLive())+l.floor {
		err := l.replace(records)
		if err == nil || !lacking(err) {
			return err
		}
		// The file that is there is whole, and may grow longer than it should.
	}
	return l.append(records)
}

// lacking says that an error speaks of what there is too little of, and not of a disk that breaks.
func lacking(err error) bool {
	return slices.ContainsFunc([]error{unix.ENOSPC, unix.EDQUOT, unix.EMFILE, unix.ENFILE, unix.ENOMEM},
		func(errno error) bool { return errors.Is(err, errno) })
}

func (l *Log) countLive() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.live)
}

func (l *Log) append(records []format.ChunkRecord) error {
	off := int64(l.slots) * format.SlotSize
	need := int64(len(records)) * format.SlotSize
	if err := l.allocate(off, need); err != nil {
		return err
	}
	buf := make([]byte, 0, need)
	for i := range records {
		place := format.SlotPlace{File: l.number, Index: l.slots + uint64(i), Synced: l.slots}
		buf = (&format.Slot{Place: place, Chunk: &records[i]}).Append(buf)
	}
	if err := l.file.WriteVec(off, buf); err != nil {
		return hard("write the catalogue", err)
	}
	if err := l.file.Datasync(); err != nil {
		return hard("sync the catalogue", err)
	}
	l.slots += uint64(len(records))
	l.publish(records)
	return nil
}

func (l *Log) publish(records []format.ChunkRecord) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range records {
		l.live[r.Key] = r
	}
}

// allocate makes room for need bytes at off, and for more to come unless the disk is full. ENOSPC only if not even the
// bytes themselves fit.
func (l *Log) allocate(off, need int64) error {
	want := off + need + ahead
	if l.allocated >= want-ahead/2 {
		return nil
	}
	err := l.file.Allocate(l.allocated, want-l.allocated)
	switch {
	case err == nil:
		l.allocated = want
		return nil
	case l.allocated >= off+need && errors.Is(err, unix.ENOSPC):
		return nil
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("extend the catalogue: %w", err)
	default:
		return hard("extend the catalogue", err)
	}
}

// ErrBroken says that the log cannot be written any more, whatever the file system's error was: bytes may have been lost.
var ErrBroken = errors.New("the catalogue cannot be trusted any more")

// hard makes an error an ErrBroken.
func hard(doing string, err error) error { return &hardError{doing: doing, cause: err} }

type hardError struct {
	doing string
	cause error
}

// Error implements error.
func (e *hardError) Error() string { return e.doing + ": " + e.cause.Error() }

// Is hides that the cause is a lack of space; other errnos show.
func (e *hardError) Is(target error) bool {
	return target == ErrBroken || target != unix.ENOSPC && errors.Is(e.cause, target)
}

// replace writes a new file with the live state and the records, makes it durable and removes the old one.
func (l *Log) replace(records []format.ChunkRecord) error {
	state := map[format.Key]format.ChunkRecord{}
	for _, r := range append(l.Records(), records...) {
		state[r.Key] = r
	}
	number := l.number + 1
	path := filepath.Join(l.dir, fileName(number))
	file, err := l.fs.Create(path)
	if err != nil {
		return fmt.Errorf("create a catalogue: %w", err)
	}
	allocated, err := l.fill(file, number, state)
	if err != nil {
		return errors.Join(fmt.Errorf("fill a catalogue: %w", err), file.Close(), l.fs.Remove(path))
	}
	old, oldNumber := l.file, l.number
	l.file, l.number, l.slots, l.allocated = file, number, uint64(len(state))+1, allocated
	l.publish(records)
	if old == nil {
		return nil
	}
	// The new file counts from here on, so what happens to the old one is of no interest: the next start removes it.
	_ = old.Close()
	_ = l.fs.Remove(filepath.Join(l.dir, fileName(oldNumber)))
	return nil
}

// fill writes a whole catalogue and makes it and its name durable.
func (l *Log) fill(file vfs.File, number uint64, state map[format.Key]format.ChunkRecord) (allocated int64, err error) {
	allocated = int64(len(state)+1)*format.SlotSize + ahead
	if err := file.Allocate(0, allocated); err != nil {
		return 0, err
	}
	head := format.Slot{
		Place: format.SlotPlace{File: number},
		Log:   &format.LogHeader{Snapshot: uint64(len(state)), Disk: l.disk},
	}
	buf, off := head.Append(nil), int64(0)
	index := uint64(1)
	for _, r := range state {
		buf = (&format.Slot{Place: format.SlotPlace{File: number, Index: index}, Chunk: &r}).Append(buf)
		if index++; index%rewriteBatch == 0 {
			if err := file.WriteVec(off, buf); err != nil {
				return 0, err
			}
			off, buf = off+int64(len(buf)), buf[:0]
		}
	}
	if err := file.WriteVec(off, buf); err != nil {
		return 0, err
	}
	if err := file.Datasync(); err != nil {
		return 0, err
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return 0, err
	}
	// A dying disk may answer nil for a folder's sync; for a file's it does not.
	return allocated, file.Datasync()
}

// Close waits for writes under way and closes the file.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.busy {
		l.idle.Wait()
	}
	if l.broken == nil {
		l.broken = ErrClosed
	}
	file := l.file
	l.file = nil
	if file == nil {
		return nil
	}
	return file.Close()
}
