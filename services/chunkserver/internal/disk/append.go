package disk

import (
	"github.com/drystone-store/drystone/services/chunkserver/internal/chunkfile"
	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
)

// Append takes a frame over; its Done is called when the frame is durable, or why it is not. Frames of one chunk are
// written in the order of the calls. Errors, for which Done is not called: NO_SUCH_CHUNK, CHUNK_STALE, CHUNK_FENCED,
// ROW_MISMATCH, INVALID_ARGUMENT, DISK_FULL, DISK_FAILED, DISK_READ_ONLY. Done gets CHUNK_CORRUPT, too.
func (d *Disk) Append(k format.Key, a *chunkfile.Append) error {
	c, err := d.find(k)
	if err != nil {
		return err
	}
	c.mu.Lock()
	w := c.writer
	c.mu.Unlock()
	if w == nil {
		if err := d.alive(); err != nil {
			return err
		}
		return chunkfile.Fenced()
	}
	return w.Submit(a)
}
