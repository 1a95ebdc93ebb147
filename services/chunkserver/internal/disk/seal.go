package disk

import (
	"errors"
	"log/slog"

	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/chunkserver/internal/chunkfile"
	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// Seal writes a chunk's footer at a length, in rows, that the map has decided; it fences the chunk if nobody did.
// Idempotent. Errors: NO_SUCH_CHUNK, CHUNK_STALE, ROW_MISMATCH (the chunk is shorter, or sealed at another length),
// DISK_FAILED, DISK_READ_ONLY, DISK_FULL.
func (d *Disk) Seal(k format.Key, length uint64) error {
	c, err := d.find(k)
	if err != nil {
		return err
	}
	c.life.Lock()
	defer c.life.Unlock()
	if c.snapshot().State == format.StateOpen {
		if err := d.fence(c, chunkfile.Fenced()); err != nil {
			return err
		}
	}
	r := c.snapshot()
	switch {
	case r.State == format.StateSealed && r.EndRow == length:
		return nil
	case r.State == format.StateSealed:
		return mismatch("the chunk is sealed at row %d, not at %d", r.EndRow, length)
	case r.EndRow < length:
		return mismatch("the chunk ends at row %d, before %d", r.EndRow, length)
	}
	if err := d.alive(); err != nil {
		return err
	}
	return d.seal(c, r, length)
}

func mismatch(format string, args ...any) error {
	return fault.New(codes.FailedPrecondition, typesv1.Reason_REASON_ROW_MISMATCH, format, args...)
}

// seal writes footer and record; the chunk's life is locked.
func (d *Disk) seal(c *chunk, r format.ChunkRecord, length uint64) error {
	v, err := d.view(c)
	if err != nil {
		return err
	}
	defer v.release()
	footer := &format.Footer{Key: c.key, Nonce: r.Nonce, Length: length, Entries: within(v.index.Entries(), length)}
	size, err := d.writeFooter(c.key, footer, int64(r.EndOffset))
	if err != nil {
		return d.Failed("seal a chunk", err)
	}
	r.State, r.EndRow, r.FileBytes = format.StateSealed, length, uint64(size)
	if err := d.catalogue.Put(r); err != nil {
		return d.Failed("enter a seal in the catalogue", err)
	}
	d.indexes.put(c.key, chunkfile.NewIndex(footer.Entries))
	c.publish(r)
	d.log.Debug("chunk sealed", slog.String("chunk", c.key.String()), slog.Uint64("length", length))
	return nil
}

func (d *Disk) writeFooter(k format.Key, footer *format.Footer, offset int64) (size int64, err error) {
	file, err := d.fs.Open(d.chunkPath(k), vfs.ReadWrite)
	if err != nil {
		return 0, err
	}
	size, err = chunkfile.Seal(file, footer, offset)
	return size, errors.Join(err, file.Close())
}

// within are the frames that hold rows before length.
func within(entries []format.Entry, length uint64) []format.Entry {
	n := len(entries)
	for n > 0 && entries[n-1].Row >= length {
		n--
	}
	return entries[:n:n]
}
