package chunkfile

import (
	"slices"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// syncBytes is how much a long queue writes before it lets a sync begin: as much as a disk takes in some milliseconds,
// so that a burst of large frames does not wait for its last one.
const syncBytes = 4 << 20

// Append is a frame to be added. Its fields, and what they point to, must not change until Done was called.
type Append struct {
	Row          uint64
	Rows         uint32
	GranuleLog2  uint8
	Continuation bool
	// SyncedRow is the row before which the writer knows every column to be durable.
	SyncedRow uint64
	CRCs      []uint32
	Data      []byte
	// Done is called once for each append that Submit took: nil when it is durable. It must not block.
	Done func(error)
}

// end is the row after the append.
func (a *Append) end() uint64 { return a.Row + uint64(a.Rows) }

// check finds what makes an append impossible, whatever the chunk's state.
func (a *Append) check() error {
	if len(a.Data) > format.BlockSize {
		return fault.New(codes.InvalidArgument, typesv1.Reason_REASON_INVALID_ARGUMENT, "a frame of %d bytes", len(a.Data))
	}
	stored := uint32(len(a.Data))
	if err := format.CheckFrame(a.Row, a.Rows, stored, a.GranuleLog2); err != nil {
		return invalid(err)
	}
	if got, want := len(a.CRCs), format.Granules(stored, a.GranuleLog2); got != want {
		return fault.New(codes.InvalidArgument, typesv1.Reason_REASON_INVALID_ARGUMENT,
			"%d checksums for %d bytes, want %d", got, stored, want)
	}
	if a.SyncedRow > a.Row {
		return fault.New(codes.InvalidArgument, typesv1.Reason_REASON_INVALID_ARGUMENT,
			"synced row %d is beyond the frame's own, %d", a.SyncedRow, a.Row)
	}
	return nil
}

// written is a frame in the file that no sync has covered yet.
type written struct {
	append *Append
	entry  format.Entry
}

// Writer appends to an open chunk. Two goroutines work while there is work: one writes, one syncs, so that writing goes
// on during a sync and joins the next.
type Writer struct {
	disk  Disk
	file  *Handle
	key   format.Key
	nonce uint64
	index *Index
	space space
	tasks sync.WaitGroup
	image image // the write loop's

	// syncedOffset is where the last synced frame ends; frames carry it as proof of what is before.
	syncedOffset atomic.Int64

	mu   sync.Mutex
	idle *sync.Cond
	// queue holds what Submit took, done what a sync must cover next.
	queue            []*Append
	done             []written
	writing, syncing bool
	// tail is the row after the last append taken, row and offset the end of what was written.
	tail, row uint64
	offset    int64
	// footer is the length of a footer of all that was written.
	footer int64
	// closed is what appends are answered from now on; broken is why the end of the chunk is not known.
	closed, broken error
}

// NewWriter appends to a file that Create made; it keeps the caller's use of the handle until Close.
func NewWriter(disk Disk, file *Handle, h *format.ChunkHeader) *Writer {
	w := &Writer{
		disk: disk, file: file, key: h.Key, nonce: h.Nonce, index: NewIndex(nil),
		offset: format.PageSize, footer: format.FooterSize(nil),
	}
	w.idle = sync.NewCond(&w.mu)
	w.space.init(h.Capacity)
	w.syncedOffset.Store(format.PageSize)
	return w
}

// Index knows the durable frames.
func (w *Writer) Index() *Index { return w.index }

// File is the open file, for readers, who acquire it.
func (w *Writer) File() *Handle { return w.file }

// Untouched says that no append was taken and none is refused yet.
func (w *Writer) Untouched() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tail == 0 && w.closed == nil
}

// Submit takes an append over; those that it takes are written in this order. Errors, for which Done is not called:
// INVALID_ARGUMENT, ROW_MISMATCH, CHUNK_FENCED, and those of a disk that cannot be written.
func (w *Writer) Submit(a *Append) error {
	if err := a.check(); err != nil {
		return err
	}
	if err := w.disk.Writable(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.closed != nil:
		return w.closed
	case a.Row != w.tail:
		return rowMismatch(a.Row, w.tail)
	}
	w.tail = a.end()
	w.queue = append(w.queue, a)
	if !w.writing {
		w.writing = true
		w.tasks.Go(w.writeAll)
	}
	return nil
}

// writeAll writes the queue until it is empty.
func (w *Writer) writeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) > 0 {
		batch := w.queue
		w.queue = nil
		w.mu.Unlock()
		err := w.writeBatch(batch)
		w.mu.Lock()
		if err != nil {
			w.refuseQueue(err)
		}
	}
	w.writing = false
	w.idle.Broadcast()
}

// writeBatch writes appends in order. At the first that fails it answers that one and all after it, and returns the
// error for those that came meanwhile.
func (w *Writer) writeBatch(batch []*Append) error {
	var ready []written
	bytes := 0
	for i, a := range batch {
		entry, err := w.write(a)
		if err != nil {
			w.handOver(ready)
			a.Done(err)
			follow := w.afterRefusal(err)
			for _, later := range batch[i+1:] {
				later.Done(follow)
			}
			return follow
		}
		ready = append(ready, written{append: a, entry: entry})
		if bytes += len(a.Data); bytes >= syncBytes {
			w.handOver(ready)
			ready, bytes = nil, 0
		}
	}
	w.handOver(ready)
	return nil
}

// afterRefusal is what appends get that follow a refused one: the disk's error if that is why, else they begin at a
// row that the chunk does not have.
func (w *Writer) afterRefusal(err error) error {
	if fault.Is(err, typesv1.Reason_REASON_CHUNK_CORRUPT) {
		return fault.New(codes.FailedPrecondition, typesv1.Reason_REASON_ROW_MISMATCH, "the frame before this one was refused")
	}
	return err
}

// refuseQueue answers what was taken behind a refused append; the chunk's end is again what was written. The lock is
// held.
func (w *Writer) refuseQueue(err error) {
	queue := w.queue
	w.queue = nil
	w.tail = w.row
	for _, a := range queue {
		a.Done(err)
	}
}

// write puts one frame into the file.
func (w *Writer) write(a *Append) (format.Entry, error) {
	if bad := format.CheckData(a.Data, a.CRCs, 0, a.GranuleLog2); bad >= 0 {
		return format.Entry{}, fault.New(codes.DataLoss, typesv1.Reason_REASON_CHUNK_CORRUPT,
			"granule %d of the frame does not match its checksum", bad)
	}
	if err := w.disk.Writable(); err != nil {
		return format.Entry{}, err
	}
	stored := uint32(len(a.Data))
	entry := format.Entry{
		Offset: w.offset, Row: a.Row, Rows: a.Rows, Stored: stored, GranuleLog2: a.GranuleLog2,
		Continuation: a.Continuation, CRCs: slices.Clone(a.CRCs),
	}
	size := format.FrameSize(stored, a.GranuleLog2)
	next := w.offset + size
	footer := w.footer + int64(format.EntrySize(&entry))
	if err := w.makeRoom(next + footer); err != nil {
		return format.Entry{}, err
	}
	h := format.FrameHeader{
		Key: w.key, Nonce: w.nonce, Row: a.Row, Rows: a.Rows, Stored: stored, GranuleLog2: a.GranuleLog2,
		Continuation: a.Continuation, SyncedOffset: uint64(w.syncedOffset.Load()), SyncedRow: a.SyncedRow, CRCs: entry.CRCs,
	}
	if err := w.file.WriteVec(w.offset, w.image.of(&h, a.Data)...); err != nil {
		return format.Entry{}, w.disk.Failed("write a frame", err)
	}
	w.mu.Lock()
	w.row, w.offset, w.footer = a.end(), next, footer
	w.mu.Unlock()
	w.allocateAhead(next+footer, size)
	return entry, nil
}

// handOver gives written frames to the sync loop.
func (w *Writer) handOver(frames []written) {
	if len(frames) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = append(w.done, frames...)
	if !w.syncing {
		w.syncing = true
		w.tasks.Go(w.syncAll)
	}
}

// syncAll syncs and answers until nothing waits.
func (w *Writer) syncAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.done) > 0 {
		batch := w.done
		w.done = nil
		w.mu.Unlock()
		err := w.sync(batch)
		for _, f := range batch {
			f.append.Done(err)
		}
		w.mu.Lock()
		if err != nil && w.broken == nil {
			w.broken = err
			if w.closed == nil {
				w.closed = err
			}
		}
	}
	w.syncing = false
	w.idle.Broadcast()
}

// sync makes frames durable, then shows them to readers. A disk that failed is not synced again: the kernel may have
// dropped the pages and would answer that all is well.
func (w *Writer) sync(batch []written) error {
	if err := w.disk.Writable(); err != nil && !fault.Is(err, typesv1.Reason_REASON_DISK_FULL) {
		return err
	}
	entries := make([]format.Entry, len(batch))
	var bytes int64
	for i, f := range batch {
		entries[i] = f.entry
		bytes += format.FrameSize(f.entry.Stored, f.entry.GranuleLog2)
	}
	ended := w.disk.SyncBegins()
	err := w.file.Datasync()
	ended(len(batch), bytes, err)
	if err != nil {
		return w.disk.Failed("sync a chunk", err)
	}
	last := &entries[len(entries)-1]
	w.syncedOffset.Store(last.Offset + format.FrameSize(last.Stored, last.GranuleLog2))
	w.index.add(entries...)
	return nil
}

// End is where a chunk ends.
type End struct {
	Row    uint64
	Offset int64
}

// Stop refuses appends from now on with the given answer and waits for those that were taken. It returns the chunk's
// end, all of it durable, or why that is not known. It may be called again.
func (w *Writer) Stop(answer error) (End, error) {
	w.mu.Lock()
	if w.closed == nil {
		w.closed = answer
	}
	for w.writing || w.syncing {
		w.idle.Wait()
	}
	end, err := End{Row: w.row, Offset: w.offset}, w.broken
	w.mu.Unlock()
	w.tasks.Wait()
	w.space.close()
	return end, err
}

// Trim gives back what was allocated beyond the chunk's end, except for its footer. Only after Stop.
func (w *Writer) Trim() error {
	end := w.offset + w.footer
	if w.space.allocated.Load() <= end {
		return nil
	}
	return w.file.Truncate(end)
}

// Close ends the writer's use of its file. Only after Stop.
func (w *Writer) Close() error { return w.file.Release() }
