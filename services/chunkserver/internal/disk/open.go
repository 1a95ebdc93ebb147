package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/drystone-store/drystone/services/chunkserver/internal/catalogue"
	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
	"github.com/drystone-store/drystone/services/kit/limit"
)

// Open opens a formatted disk: it replays the catalogue, recovers and fences the chunks that were open. A disk that was
// marked as failed, or is read-only, is opened for reading.
// Errors: ErrBlank, ErrForeign, vfs.ErrLocked, those of format for a damaged identity, those of the file system.
func Open(o Options) (*Disk, error) {
	identity, err := Identify(o.FS, o.Path)
	if err != nil {
		return nil, fmt.Errorf("open disk %s: %w", o.Path, err)
	}
	lock, err := o.FS.Lock(filepath.Join(o.Path, lockName))
	if err != nil {
		return nil, fmt.Errorf("open disk %s: %w", o.Path, err)
	}
	d, err := newDisk(o, identity)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	d.lock = lock
	if err := d.load(); err != nil {
		d.tasks.stop()
		return nil, errors.Join(fmt.Errorf("open disk %s: %w", o.Path, err), lock.Close())
	}
	return d, nil
}

func newDisk(o Options, identity format.Identity) (*Disk, error) {
	d := &Disk{
		fs: o.FS, path: o.Path, identity: identity,
		log:      o.Log.With(slog.String("disk", identity.Disk)),
		suspects: make(chan format.Key, backgroundTasks),
		chunks:   map[format.Key]*chunk{}, creating: map[format.Key]chan struct{}{},
	}
	if o.Metrics == nil {
		var err error
		if o.Metrics, err = NewMetrics(nil, ""); err != nil {
			return nil, err
		}
	}
	var err error
	if d.files, err = newFiles(o.FS, max(1, o.OpenFiles)); err != nil {
		return nil, err
	}
	if d.indexes, err = newIndexes(); err != nil {
		return nil, err
	}
	d.reads, err = limit.NewLimiter(limit.LimiterOptions{Name: "reads of a disk", Slots: maxReads, Queue: waitingReads})
	if err != nil {
		return nil, err
	}
	d.tasks = newTasks()
	d.health = newHealth(o.FS, o.Path, d.log, o.Metrics.of(identity.Disk), d.tasks)
	return d, nil
}

// load fills the table of chunks.
func (d *Disk) load() error {
	if err := d.judge(); err != nil {
		return err
	}
	mayWrite := d.alive() == nil
	log, report, err := catalogue.Open(catalogue.Options{
		FS: d.fs, Dir: d.path, Disk: d.identity.Disk, ReadOnly: !mayWrite, Rebuild: d.rebuild,
	})
	if err != nil {
		return err
	}
	d.catalogue = log
	if report.Rot {
		d.log.Error("the catalogue had rot and was rebuilt from the chunk files", slog.Bool("written", mayWrite))
	}
	for _, r := range log.Records() {
		d.chunks[r.Key] = &chunk{key: r.Key, record: r}
	}
	if mayWrite {
		if err := d.adoptStrays(!report.Rot); err != nil {
			return errors.Join(err, log.Close())
		}
	}
	for _, c := range d.all() {
		if c.record.State == format.StateOpen {
			d.recover(c)
		}
	}
	d.metrics.chunks.Set(float64(len(d.chunks)))
	return nil
}

// judge finds out whether the disk may be written.
func (d *Disk) judge() error {
	d.measure()
	d.health.mu.Lock()
	defer d.health.mu.Unlock()
	text, err := readFile(d.fs, filepath.Join(d.path, failedName))
	switch {
	case err == nil:
		d.set(StateFailed, "the disk is marked as failed; replace it, or remove the file to trust it again", failed(errors.New(string(text))))
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	file, err := d.fs.Open(filepath.Join(d.path, identityName), vfs.ReadWrite)
	if errors.Is(err, unix.EROFS) {
		d.set(StateReadOnly, "open", readOnly(err))
		return nil
	}
	if err != nil {
		return err
	}
	return file.Close()
}
