package disk

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/chunkserver/internal/catalogue"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/fault"
)

const (
	// reserveMax and reserveShare are the space that new chunks leave free: what open chunks, fences and footers still
	// need must not fail because something new was begun.
	reserveMax   = 1 << 30
	reserveShare = 64
	// appendShare is the part of the reserve that appends leave free, too.
	appendShare = 4
	// refreshEvery is how often a full disk is measured again.
	refreshEvery = time.Second
	// slow is the age from which what is still under way speaks for the disk's latency.
	slow = time.Second
	// readErrors is how many reads in a row may fail before the disk counts as failed. One bad sector makes one.
	readErrors = 3
	// samples is how many syncs the median is of.
	samples = 128
)

// State is how a disk fares.
type State int

// The states, best first.
const (
	StateOK State = iota
	StateFull
	StateReadOnly
	StateFailed
)

// Status is a disk's report.
type Status struct {
	State    State
	Detail   string
	Capacity int64
	Free     int64
	// Sync is the median of recent syncs, or how long the disk has not answered if that is very long.
	Sync time.Duration
}

// health decides what errors mean and what may still be done. It is the chunk writers' view of the disk.
type health struct {
	fs      vfs.FS
	path    string
	log     *slog.Logger
	metrics *diskMetrics
	tasks   *tasks

	// blocked is what writers are answered, nil while all is well.
	blocked atomic.Pointer[fault.Error]
	// misreads counts failed reads in a row.
	misreads atomic.Int32

	mu      sync.Mutex
	state   State
	detail  string
	tight   bool // new chunks are refused
	usage   vfs.Usage
	checked time.Time
	// asked is since when a measurement is waited for; zero when none is.
	asked time.Time
	ring  [samples]time.Duration
	seen  int
	// running are the syncs under way, by a number of their own.
	running map[int]time.Time
	next    int
}

func newHealth(fs vfs.FS, path string, log *slog.Logger, m *diskMetrics, t *tasks) *health {
	return &health{fs: fs, path: path, log: log, metrics: m, tasks: t, running: map[int]time.Time{}}
}

// Writable implements chunkfile.Disk. A full disk is looked at again from time to time.
func (h *health) Writable() error {
	f := h.blocked.Load()
	if f == nil {
		return nil
	}
	if f.Reason() == typesv1.Reason_REASON_DISK_FULL {
		h.mu.Lock()
		old := clock.Since(h.checked) >= refreshEvery
		h.mu.Unlock()
		if old {
			h.measure()
		}
		if f = h.blocked.Load(); f == nil {
			return nil
		}
	}
	return f
}

// alive is nil while fences and footers may be written: a full disk has room for them.
func (h *health) alive() error {
	if f := h.blocked.Load(); f != nil && f.Reason() != typesv1.Reason_REASON_DISK_FULL {
		return f
	}
	return nil
}

// roomForChunk is nil while new chunks may be made.
func (h *health) roomForChunk() error {
	if err := h.Writable(); err != nil {
		return err
	}
	h.measure()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.tight {
		return full(fmt.Errorf("%d bytes are free, %d are kept", h.usage.Free, reserve(h.usage.Capacity)))
	}
	return nil
}

// Reserve implements chunkfile.Disk.
func (h *health) Reserve(n int64) error {
	u, err := h.fs.Usage(h.path)
	if err != nil {
		return nil //nolint:nilerr // the allocation itself will tell
	}
	if u.Free-n < reserve(u.Capacity)/appendShare {
		return unix.ENOSPC
	}
	return nil
}

func reserve(capacity int64) int64 { return min(reserveMax, capacity/reserveShare) }

func full(cause error) *fault.Error {
	return fault.Wrap(cause, codes.ResourceExhausted, typesv1.Reason_REASON_DISK_FULL, "the disk is full")
}

// Failed implements chunkfile.Disk: it judges an error and answers what to tell who was writing.
func (h *health) Failed(doing string, err error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state >= StateReadOnly {
		return h.blocked.Load()
	}
	switch {
	case errors.Is(err, catalogue.ErrClosed):
		return fault.Wrap(err, codes.Unavailable, typesv1.Reason_REASON_SHUTTING_DOWN, "the chunk-server stops")
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		h.set(StateFull, doing, full(err))
	case exhausted(doing, err) != nil && !errors.Is(err, catalogue.ErrBroken):
		return exhausted(doing, err)
	case errors.Is(err, unix.EROFS):
		h.set(StateReadOnly, doing, readOnly(err))
	default:
		h.set(StateFailed, doing, failed(err))
	}
	return h.blocked.Load()
}

// exhausted is the answer to an error that speaks of this process and not of the disk; nil for others.
func exhausted(doing string, err error) error {
	for _, errno := range []error{unix.EMFILE, unix.ENFILE, unix.ENOMEM} {
		if errors.Is(err, errno) {
			return fault.Wrap(err, codes.ResourceExhausted, typesv1.Reason_REASON_OVERLOADED, "%s: out of resources", doing)
		}
	}
	return nil
}

func readOnly(cause error) *fault.Error {
	return fault.Wrap(cause, codes.Unavailable, typesv1.Reason_REASON_DISK_READ_ONLY, "the disk is read-only")
}

func failed(cause error) *fault.Error {
	return fault.Wrap(cause, codes.Unavailable, typesv1.Reason_REASON_DISK_FAILED, "the disk failed and is fenced")
}

// set changes the state; the lock is held.
func (h *health) set(s State, doing string, answer *fault.Error) {
	before := h.state
	h.state, h.detail = s, doing
	if answer != nil {
		h.detail = fmt.Sprintf("%s: %v", doing, answer.Unwrap())
	}
	h.blocked.Store(answer)
	h.metrics.state.Set(float64(s))
	if before == s {
		return
	}
	if s > StateFull {
		h.log.Error("the disk is fenced", slog.String("detail", h.detail))
	} else {
		h.log.Warn("the disk's space changed", slog.Bool("full", s == StateFull), slog.String("detail", h.detail))
	}
	if s == StateFailed {
		h.tasks.add(h.mark)
	}
}

// mark leaves word on the disk that it failed, if that works: the next start will not trust it either.
func (h *health) mark() {
	h.mu.Lock()
	text := h.detail
	h.mu.Unlock()
	if err := writeNew(h.fs, h.path, failedName, []byte(text+"\n")); err != nil {
		h.log.Warn("a failed disk could not be marked", slog.Any("error", err))
	}
}

// SyncBegins implements chunkfile.Disk.
func (h *health) SyncBegins() func(frames int, bytes int64, err error) {
	begin := clock.Now()
	h.mu.Lock()
	id := h.next
	h.next++
	h.running[id] = begin
	h.mu.Unlock()
	return func(frames int, bytes int64, err error) {
		took := clock.Since(begin)
		h.mu.Lock()
		delete(h.running, id)
		h.ring[h.seen%samples] = took
		h.seen++
		if err != nil && h.state < StateReadOnly {
			// Whatever the error says: pages may have been dropped, so what was written is not known any more.
			h.set(StateFailed, "sync a chunk", failed(err))
		}
		h.mu.Unlock()
		h.metrics.synced(frames, bytes, took)
	}
}

// Background implements chunkfile.Disk.
func (h *health) Background(task func()) bool { return h.tasks.add(task) }

// readFailed counts a read that the disk refused; a run of them means that it is gone.
func (h *health) readFailed(err error) {
	if h.misreads.Add(1) < readErrors {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state < StateReadOnly {
		h.set(StateFailed, "read chunks", failed(err))
	}
}

func (h *health) readWorked() {
	if h.misreads.Load() != 0 {
		h.misreads.Store(0)
	}
}

// measure looks at the space. An error of it leaves what was known.
func (h *health) measure() {
	u, err := h.fs.Usage(h.path) // may hang with the disk, so no lock is held
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = time.Time{}
	if err != nil {
		return
	}
	h.usage, h.checked = u, clock.Now()
	h.tight = u.Free < reserve(u.Capacity)
	if h.state == StateFull && !h.tight {
		h.set(StateOK, "", nil)
	}
	h.metrics.free.Set(float64(u.Free))
	h.metrics.capacity.Set(float64(u.Capacity))
}

// measureSoon has the space measured in the background, unless that is under way; the lock is held.
func (h *health) measureSoon() {
	if h.asked.IsZero() && h.tasks.add(h.measure) {
		h.asked = clock.Now()
	}
}

// Status is how the disk fares. Its space is that of the call before: a disk that hangs holds up nobody who asks.
func (h *health) Status() Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.measureSoon()
	s := Status{State: h.state, Detail: h.detail, Capacity: h.usage.Capacity, Free: h.usage.Free, Sync: h.median()}
	if h.state == StateOK && h.tight {
		s.State, s.Detail = StateFull, "little space is left: no new chunks"
	}
	waits := clock.Since(h.asked)
	if h.asked.IsZero() {
		waits = 0
	}
	for _, begin := range h.running {
		waits = max(waits, clock.Since(begin))
	}
	if waits > slow {
		s.Sync = max(s.Sync, waits)
		if s.State == StateOK {
			s.Detail = fmt.Sprintf("the disk has not answered for %v", waits.Round(time.Millisecond))
		}
	}
	return s
}

func (h *health) median() time.Duration {
	n := min(h.seen, samples)
	if n == 0 {
		return 0
	}
	sorted := slices.Clone(h.ring[:n])
	slices.Sort(sorted)
	return sorted[n/2]
}
