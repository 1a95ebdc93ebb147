package disk

import (
	"slices"

	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
)

// Stat describes a chunk and, if asked, its frames, those that are known to be damaged marked. Errors: NO_SUCH_CHUNK,
// CHUNK_STALE; with frames also DISK_FAILED.
func (d *Disk) Stat(k format.Key, frames bool) (format.ChunkRecord, []format.Entry, error) {
	c, err := d.find(k)
	if err != nil {
		return format.ChunkRecord{}, nil, err
	}
	if !frames {
		return c.snapshot(), nil, nil
	}
	v, err := d.view(c)
	if err != nil {
		return format.ChunkRecord{}, nil, err
	}
	defer v.release()
	entries := slices.Clone(v.index.Entries())
	r := c.snapshot()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range entries {
		if _, bad := c.damage[entries[i].Row]; bad {
			entries[i].Damaged = true
		}
	}
	return r, entries, nil
}

// List describes all chunks that are there, in the order of their keys.
func (d *Disk) List() []format.ChunkRecord {
	var out []format.ChunkRecord
	for _, c := range d.all() {
		c.mu.Lock()
		usable := c.unusable == nil
		c.mu.Unlock()
		if usable {
			out = append(out, c.snapshot())
		}
	}
	slices.SortFunc(out, func(a, b format.ChunkRecord) int { return a.Key.Compare(b.Key) })
	return out
}
