package disk

import (
	"context"
	"log/slog"
	"time"

	"github.com/drystone-store/drystone/services/chunkserver/internal/chunkfile"
	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/kit/clock"
)

// Scrub verifies every checksum of a chunk past the page cache and keeps what it finds, also across restarts. pace is
// called with the bytes about to be read and may wait. Errors: NO_SUCH_CHUNK, CHUNK_STALE, DISK_FAILED (the file cannot
// be opened), pace's and ctx's.
func (d *Disk) Scrub(ctx context.Context, k format.Key, pace func(ctx context.Context, n int64) error) (chunkfile.Findings, error) {
	c, err := d.find(k)
	if err != nil {
		return chunkfile.Findings{}, err
	}
	c.mu.Lock()
	c.triedMs = clock.UnixMilli()
	c.mu.Unlock()
	v, err := d.view(c)
	if err != nil {
		return chunkfile.Findings{}, err
	}
	defer v.release()
	r := c.snapshot()
	found, err := chunkfile.Verify(v.file, k, r.Nonce, v.index.Entries(), func(n int64) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return pace(ctx, n)
	})
	d.metrics.scrubbed.Add(float64(found.Bytes))
	if err != nil {
		return found, err
	}
	found.BadHeader = !chunkfile.VerifyHeader(v.file, k, r.Nonce)
	if r.State == format.StateSealed {
		found.BadFooter = !chunkfile.VerifyFooter(v.file, int64(r.EndOffset), int64(r.FileBytes), k, r.Nonce)
	}
	d.settleFindings(c, &found)
	return found, nil
}

// settleFindings makes findings the chunk's state. Damage that reads met before and that is not found any more was of
// memory or of the way, not of the disk.
func (d *Disk) settleFindings(c *chunk, found *chunkfile.Findings) {
	if !found.Clean() {
		d.log.Error("scrub found damage", slog.String("chunk", c.key.String()), slog.Int("frames", len(found.Damaged)),
			slog.Bool("header", found.BadHeader), slog.Bool("footer", found.BadFooter))
	}
	damage := make(map[uint64]struct{}, len(found.Damaged))
	for i := range found.Damaged {
		damage[found.Damaged[i].Row] = struct{}{}
	}
	c.life.Lock()
	defer c.life.Unlock()
	c.mu.Lock()
	d.metrics.damaged.Add(float64(len(damage) - len(c.damage)))
	c.damage = damage
	r := c.record
	r.VerifiedMs, r.Damaged = clock.UnixMilli(), !found.Clean()
	c.mu.Unlock()
	if d.alive() == nil {
		if err := d.catalogue.Put(r); err != nil {
			d.log.Warn("a scrub's result was not kept", slog.Any("error", d.Failed("keep a scrub's result", err)))
		}
	}
	c.publish(r)
}

// NextScrub is the chunk to verify next, and when: at once for one in which a read met damage, else `interval` after
// the last time, or after it was made. False when there is no chunk.
func (d *Disk) NextScrub(interval time.Duration) (k format.Key, due time.Time, ok bool) {
	select {
	case k := <-d.suspects:
		return k, clock.Now(), true
	default:
	}
	var oldest int64
	for _, c := range d.all() {
		c.mu.Lock()
		last := max(c.record.VerifiedMs, c.record.CreatedMs, c.triedMs)
		usable := c.unusable == nil
		c.mu.Unlock()
		if usable && (!ok || last < oldest) {
			k, oldest, ok = c.key, last, true
		}
	}
	if !ok {
		d.metrics.scrubAge.Set(0)
		return k, due, false
	}
	last := time.UnixMilli(oldest)
	d.metrics.scrubAge.Set(clock.Since(last).Seconds())
	return k, last.Add(interval), true
}
