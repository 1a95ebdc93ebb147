package disk

import (
	"log/slog"

	"github.com/drystone-store/drystone/services/chunkserver/internal/chunkfile"
	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
)

// Fence ends the appends to a chunk for ever. The answer's EndRow is the end of its valid frames, Damaged says that some
// of them are not readable; the fence is durable when it comes. Idempotent.
// Errors: NO_SUCH_CHUNK, CHUNK_STALE, DISK_FAILED, DISK_READ_ONLY; DISK_FULL when not even the catalogue can grow.
func (d *Disk) Fence(k format.Key) (format.ChunkRecord, error) {
	c, err := d.find(k)
	if err != nil {
		return format.ChunkRecord{}, err
	}
	c.life.Lock()
	defer c.life.Unlock()
	if c.snapshot().State == format.StateOpen {
		if err := d.fence(c, chunkfile.Fenced()); err != nil {
			return format.ChunkRecord{}, err
		}
	}
	return c.snapshot(), nil
}

// fence stops an open chunk and makes that durable. Appends are answered with `answer` from the first moment on; the
// chunk's life is locked.
func (d *Disk) fence(c *chunk, answer error) error {
	if err := d.alive(); err != nil {
		return err
	}
	r, w := c.snapshot(), c.writer // the writer is only changed under life
	if w != nil {
		end, err := w.Stop(answer)
		if err != nil {
			return err
		}
		r.EndRow, r.EndOffset, r.FileBytes = end.Row, uint64(end.Offset), uint64(end.Offset)
	}
	r.State = format.StateFenced
	if err := d.catalogue.Put(r); err != nil {
		return d.Failed("fence a chunk", err)
	}
	c.mu.Lock()
	index := c.pinned
	c.record, c.writer, c.pinned = r, nil, nil
	c.mu.Unlock()
	if w == nil { // it was recovered when its fence could not be written
		d.indexes.put(c.key, index)
		return nil
	}
	d.indexes.put(c.key, w.Index())
	d.rest(c, w)
	return nil
}

// rest puts the file of a chunk that was fenced to rest.
func (d *Disk) rest(c *chunk, w *chunkfile.Writer) {
	if err := w.Trim(); err != nil {
		// The fence holds; what stays allocated is given back when the chunk is sealed.
		d.log.Warn("a fenced chunk was not trimmed", slog.String("chunk", c.key.String()), slog.Any("error", err))
	}
	d.files.put(c.key, w.File().Acquire())
	_ = w.Close() // the cache has the file now
	d.release()
}

// abandon stops a chunk whose fence could not be made durable; the next start fences it. The chunk's life is locked.
func (d *Disk) abandon(c *chunk, answer error) {
	w := c.writer
	_, _ = w.Stop(answer)
	c.mu.Lock()
	c.pinned, c.writer = w.Index(), nil
	c.mu.Unlock()
	d.release()
	_ = w.Close() // its frames are synced or were refused: closing has nothing to add
}

// release counts an open chunk less.
func (d *Disk) release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open--
}
