package disk

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io/fs"

	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/chunkserver/internal/chunkfile"
	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// Create makes an empty chunk, durably. h says what it is; nonce, time, disk and cluster are set here, but h.Cluster, if
// it is not empty, must be the disk's. The same writer may repeat it until there are frames.
// Errors: CHUNK_EXISTS, CLUSTER_MISMATCH, DISK_FULL, DISK_FAILED, DISK_READ_ONLY, OVERLOADED.
func (d *Disk) Create(h format.ChunkHeader) error {
	if h.Cluster != "" && h.Cluster != d.identity.Cluster {
		return fault.New(codes.FailedPrecondition, typesv1.Reason_REASON_CLUSTER_MISMATCH,
			"the disk belongs to another cluster than %q", h.Cluster)
	}
	for {
		wait, err := d.claim(&h)
		if err != nil || wait == nil {
			return err
		}
		if wait.mine {
			defer d.disclaim(h.Key, wait.done)
			return d.create(&h)
		}
		<-wait.done
	}
}

// claim says who makes a chunk: the caller, or somebody whose end is to be awaited; nil when the chunk is there and as
// the caller wants it.
type claim struct {
	mine bool
	done chan struct{}
}

func (d *Disk) claim(h *format.ChunkHeader) (*claim, error) {
	if err := d.roomForChunk(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if c := d.chunks[h.Key]; c != nil {
		if c.sameBeginning(h) {
			return nil, nil // it is there: a repeated call
		}
		return nil, chunkExists(h.Key)
	}
	if done := d.creating[h.Key]; done != nil {
		return &claim{done: done}, nil
	}
	if d.closed {
		return nil, fault.New(codes.Unavailable, typesv1.Reason_REASON_SHUTTING_DOWN, "the chunk-server stops")
	}
	if d.open >= maxOpen {
		return nil, fault.New(codes.ResourceExhausted, typesv1.Reason_REASON_OVERLOADED, "%d chunks are open on the disk", d.open)
	}
	d.open++
	done := make(chan struct{})
	d.creating[h.Key] = done
	return &claim{mine: true, done: done}, nil
}

func (d *Disk) disclaim(k format.Key, done chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.creating, k)
	if d.chunks[k] == nil {
		d.open--
	}
	close(done)
}

func chunkExists(k format.Key) error {
	return fault.New(codes.AlreadyExists, typesv1.Reason_REASON_CHUNK_EXISTS, "chunk %v exists", k)
}

// sameBeginning says that a chunk is still as this header's writer would have made it.
func (c *chunk) sameBeginning(h *format.ChunkHeader) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &c.record
	return c.writer != nil && c.writer.Untouched() && r.Writer == h.Writer && r.Term == h.Term &&
		uint32(r.K) == h.K && uint32(r.M) == h.M
}

func (d *Disk) create(h *format.ChunkHeader) error {
	h.Cluster, h.Disk = d.identity.Cluster, d.identity.Disk
	h.CreatedMs = clock.UnixMilli()
	var nonce [8]byte
	_, _ = rand.Read(nonce[:]) // never fails (crypto/rand)
	h.Nonce = binary.LittleEndian.Uint64(nonce[:])
	path := d.chunkPath(h.Key)
	file, err := chunkfile.Create(d.fs, path, h)
	if errors.Is(err, fs.ErrExist) {
		return chunkExists(h.Key)
	}
	if err != nil {
		return d.Failed("create a chunk", err)
	}
	record := newRecord(h)
	// This sync comes after the folder's, on the same file system: a dying disk cannot lie about both.
	if err := d.catalogue.Put(record); err != nil {
		return errors.Join(d.Failed("enter a chunk in the catalogue", err), file.Close(), d.fs.Remove(path))
	}
	c := &chunk{key: h.Key, record: record}
	c.writer = chunkfile.NewWriter(d.health, chunkfile.NewHandle(file), h)
	d.mu.Lock()
	d.chunks[h.Key] = c
	d.metrics.chunks.Set(float64(len(d.chunks)))
	closed := d.closed
	d.mu.Unlock()
	if closed {
		return d.closeLate(c)
	}
	return nil
}

// closeLate ends a chunk that was made while the disk closed.
func (d *Disk) closeLate(c *chunk) error {
	c.life.Lock()
	defer c.life.Unlock()
	stopping := fault.New(codes.Unavailable, typesv1.Reason_REASON_SHUTTING_DOWN, "the chunk-server stops")
	if c.writer != nil {
		d.abandon(c, stopping)
	}
	return stopping
}
