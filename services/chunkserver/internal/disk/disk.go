// Package disk is one data folder of a node: what it is, which chunks it has, how it fares. It joins the catalogue and
// the chunk files, and it decides what an error of the file system means.
//
// Constraints:
//
//  1. A disk belongs to one cluster and one process: identity and lock are checked before anything else is read.
//  2. After a failed write or sync nothing is written to the disk any more, and no sync is tried again. Reads go on.
//  3. Creating, fencing and sealing are in the catalogue, durably, before they are answered.
//  4. A chunk that was open when the process ended is fenced when the next one starts, before anyone can ask for it.
//  5. A chunk whose file is gone is not there: its absence proves nothing about its rows.
//  6. Nothing that was acknowledged is cut off: a tail is, rot never.
package disk

import (
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"sync"

	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/chunkserver/internal/catalogue"
	"github.com/drystone-store/drystone/services/chunkserver/internal/chunkfile"
	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/limit"
)

const (
	identityName = "disk.json"
	lockName     = "lock"
	failedName   = "failed"
	chunksName   = "chunks"
	chunkSuffix  = ".chunk"

	// maxOpen bounds chunks that take appends: each holds a file descriptor, and a sync is per file.
	maxOpen = 2048
	// backgroundTasks bounds waiting tasks; one more allocation ahead is not worth memory.
	backgroundTasks = 256
	// maxReads bounds reads at a time, waitingReads those that wait for one to end: a disk that hangs must not take all
	// that the node can serve. Deeper queues make no disk faster.
	maxReads     = 256
	waitingReads = 512
	// maxIndexBytes bounds the indexes of chunks at rest that are kept in memory.
	maxIndexBytes = 64 << 20
)

// Options say which disk to open and how.
type Options struct {
	FS   vfs.FS
	Path string
	Log  *slog.Logger
	// Metrics may be nil.
	Metrics *Metrics
	// OpenFiles bounds the files of chunks at rest that are kept open.
	OpenFiles int
}

// Disk is an open disk.
type Disk struct {
	*health

	fs        vfs.FS
	path      string
	identity  format.Identity
	log       *slog.Logger
	lock      io.Closer
	catalogue *catalogue.Log
	reader    chunkfile.Reader
	reads     *limit.Limiter
	files     *files
	indexes   *indexes
	tasks     *tasks

	// suspects are chunks that a read found damaged: the scrubber looks at them next.
	suspects chan format.Key

	mu     sync.Mutex
	chunks map[format.Key]*chunk
	// creating holds a channel for each chunk that is being made; it is closed at the end.
	creating map[format.Key]chan struct{}
	open     int
	closed   bool
}

// chunk is one chunk's state in memory.
type chunk struct {
	key format.Key

	// life is held over each change of the chunk's record.
	life sync.Mutex

	mu     sync.Mutex
	record format.ChunkRecord
	// writer takes appends while the chunk is open.
	writer *chunkfile.Writer
	// pinned is the index of a chunk that was open and could not be fenced, because nothing may be written.
	pinned *chunkfile.Index
	// unusable is why the chunk cannot be read at all.
	unusable error
	// triedMs is when a scrub of the chunk last began, in Unix milliseconds: one that cannot be verified must not keep
	// others from it.
	triedMs int64
	// damage holds the first rows of frames that were found damaged.
	damage map[uint64]struct{}
}

// ID is the disk's UUID.
func (d *Disk) ID() string { return d.identity.Disk }

// Cluster is the cluster that the disk belongs to.
func (d *Disk) Cluster() string { return d.identity.Cluster }

// Path is the disk's folder.
func (d *Disk) Path() string { return d.path }

// Usable says that the disk has not failed.
func (d *Disk) Usable() bool { return d.alive() == nil }

// Chunks is the number of chunks.
func (d *Disk) Chunks() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.chunks)
}

func (d *Disk) chunkPath(k format.Key) string {
	return filepath.Join(d.path, chunksName, k.String()+chunkSuffix)
}

// find looks a chunk up. Errors: CHUNK_STALE when only other generations or attempts of the column are here,
// NO_SUCH_CHUNK, and why a chunk cannot be used.
func (d *Disk) find(k format.Key) (*chunk, error) {
	d.mu.Lock()
	c := d.chunks[k]
	d.mu.Unlock()
	if c == nil {
		return nil, d.absent(k)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c, c.unusable
}

func (d *Disk) absent(k format.Key) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for other := range d.chunks {
		if other.Volume == k.Volume && other.Column == k.Column {
			return fault.New(codes.FailedPrecondition, typesv1.Reason_REASON_CHUNK_STALE,
				"chunk %v is not here, %v is", k, other)
		}
	}
	return noSuchChunk(k)
}

func noSuchChunk(k format.Key) error {
	return fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_CHUNK, "no chunk %v on this disk", k)
}

// all returns every chunk that is there.
func (d *Disk) all() []*chunk {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]*chunk, 0, len(d.chunks))
	for _, c := range d.chunks {
		out = append(out, c)
	}
	return out
}

// snapshot is the chunk's record as of now: an open chunk's end is that of its durable frames.
func (c *chunk) snapshot() format.ChunkRecord {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.record
	r.Damaged = r.Damaged || len(c.damage) > 0
	index := c.pinned
	if c.writer != nil {
		index = c.writer.Index()
	}
	if index == nil {
		return r
	}
	if entries := index.Entries(); len(entries) > 0 {
		last := &entries[len(entries)-1]
		r.EndRow = last.End()
		r.EndOffset = uint64(last.Offset + format.FrameSize(last.Stored, last.GranuleLog2))
		r.FileBytes = r.EndOffset
	}
	return r
}

// publish makes a record that the catalogue has the chunk's own.
func (c *chunk) publish(r format.ChunkRecord) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.record = r
}

// Close fences open chunks, so that the next start need not walk them, ends background work and releases the disk.
// What cannot be written any more is left to the next start. ctx bounds the wait for a disk that does not answer.
func (d *Disk) Close(ctx context.Context) error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	d.mu.Unlock()
	done := make(chan error, 1)
	go func() { done <- d.shut() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		// The disk hangs in the kernel; the process ends without it.
		return ctx.Err()
	}
}

func (d *Disk) shut() error {
	stopping := fault.New(codes.Unavailable, typesv1.Reason_REASON_SHUTTING_DOWN, "the chunk-server stops")
	for _, c := range d.all() {
		c.life.Lock()
		if c.writer != nil {
			if err := d.fence(c, stopping); err != nil {
				d.log.Warn("a chunk was not fenced at the end", slog.String("chunk", c.key.String()), slog.Any("error", err))
				d.abandon(c, stopping)
			}
		}
		c.life.Unlock()
	}
	d.tasks.stop()
	d.files.clear()
	err := d.catalogue.Close()
	if lockErr := d.lock.Close(); err == nil {
		err = lockErr
	}
	return err
}
