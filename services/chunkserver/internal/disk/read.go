package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/drystone-store/drystone/services/chunkserver/internal/chunkfile"
	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
)

// Read answers rows of a chunk, verified; into dst, if that is long enough. Errors: NO_SUCH_CHUNK, CHUNK_STALE,
// CHUNK_CORRUPT, DISK_FAILED, RANGE_NOT_SATISFIABLE, INVALID_ARGUMENT, OVERLOADED; those of ctx while it waits for its
// turn.
func (d *Disk) Read(ctx context.Context, k format.Key, row uint64, rows uint32, dst []byte) (chunkfile.Rows, error) {
	c, err := d.find(k)
	if err != nil {
		return chunkfile.Rows{}, err
	}
	if err := d.reads.Acquire(ctx); err != nil {
		return chunkfile.Rows{}, err
	}
	defer d.reads.Release()
	v, err := d.view(c)
	if err != nil {
		return chunkfile.Rows{}, err
	}
	defer v.release()
	out, err := d.reader.Read(v.file, v.index, v.end, row, rows, dst)
	var damage *chunkfile.DamageError
	if errors.As(err, &damage) {
		d.met(c, damage)
		return chunkfile.Rows{}, corrupt(err)
	}
	if err != nil {
		return chunkfile.Rows{}, err
	}
	d.readWorked()
	d.metrics.read.Add(float64(len(out.Data)))
	return out, nil
}

// met notes damage that a reader met, and has the chunk verified.
func (d *Disk) met(c *chunk, damage *chunkfile.DamageError) {
	d.metrics.refusedReads.Inc()
	if damage.Cause != nil {
		d.readFailed(damage.Cause)
	}
	if d.note(c, damage.Row) {
		d.log.Error("damage found by a read", slog.String("chunk", c.key.String()), slog.Any("error", damage))
	}
	select {
	case d.suspects <- c.key:
	default: // enough is waiting; the next read or round finds it again
	}
}

// note remembers a damaged frame by its first row; true if it is news.
func (d *Disk) note(c *chunk, row uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.damage[row]; known {
		return false
	}
	if c.damage == nil {
		c.damage = map[uint64]struct{}{}
	}
	c.damage[row] = struct{}{}
	d.metrics.damaged.Inc()
	return true
}

// noteEntries remembers the damaged ones of frames.
func (d *Disk) noteEntries(c *chunk, entries []format.Entry) {
	for i := range entries {
		if entries[i].Damaged {
			d.note(c, entries[i].Row)
		}
	}
}

// view is what a reader needs of a chunk, at one moment.
type view struct {
	file    *chunkfile.Handle
	index   *chunkfile.Index
	end     uint64
	release func()
}

// view opens a chunk for reading. The caller releases it.
func (d *Disk) view(c *chunk) (view, error) {
	c.mu.Lock()
	if w := c.writer; w != nil {
		v := view{file: w.File().Acquire(), index: w.Index()}
		c.mu.Unlock()
		v.end, v.release = v.index.End(), func() { _ = v.file.Release() }
		return v, nil
	}
	record, index := c.record, c.pinned
	c.mu.Unlock()
	file, err := d.files.get(c.key, d.chunkPath(c.key))
	if errors.Is(err, fs.ErrNotExist) {
		d.log.Error("a chunk's file is gone", slog.String("chunk", c.key.String()))
		return view{}, noSuchChunk(c.key)
	}
	if err != nil {
		return view{}, d.unreadable("open a chunk", err)
	}
	v := view{file: file, index: index, end: record.EndRow, release: func() { _ = file.Release() }}
	if index != nil {
		v.end = index.End()
		return v, nil
	}
	if v.index, err = d.index(c, file, &record); err != nil {
		v.release()
		return view{}, err
	}
	return v, nil
}

// unreadable judges an error of reading what is not rows: opening, finding an index.
func (d *Disk) unreadable(doing string, err error) error {
	if judged := exhausted(doing, err); judged != nil {
		return judged
	}
	d.readFailed(err)
	return failed(fmt.Errorf("%s: %w", doing, err))
}

// index finds a chunk's index in memory, in its footer, or, where that is damaged or missing, in its frames.
func (d *Disk) index(c *chunk, file *chunkfile.Handle, r *format.ChunkRecord) (*chunkfile.Index, error) {
	if x := d.indexes.get(c.key); x != nil {
		return x, nil
	}
	entries, err := d.loadEntries(c, file, r)
	if err != nil {
		return nil, err
	}
	d.noteEntries(c, entries)
	x := chunkfile.NewIndex(entries)
	d.indexes.put(c.key, x)
	return x, nil
}

func (d *Disk) loadEntries(c *chunk, file *chunkfile.Handle, r *format.ChunkRecord) ([]format.Entry, error) {
	if r.State == format.StateSealed {
		footer, err := chunkfile.LoadFooter(file, int64(r.FileBytes), c.key, r.Nonce)
		if err == nil && footer.Length == r.EndRow {
			return footer.Entries, nil
		}
		d.log.Error("a footer is damaged; the frames are read instead", slog.String("chunk", c.key.String()), slog.Any("error", err))
	}
	scan, err := chunkfile.Load(file, c.key, r.Nonce, chunkfile.End{Row: r.EndRow, Offset: int64(r.EndOffset)})
	if err != nil {
		return nil, d.unreadable("load a chunk's frames", err)
	}
	return scan.Entries, nil
}
