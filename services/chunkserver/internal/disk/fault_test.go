package disk

import (
	"context"
	"log/slog"
	"os"
	"path"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs/faultfs"
)

// breaking is a disk whose operations fail once armed.
func breaking(t *testing.T, base vfs.FS, when func(faultfs.Op) error) (d *Disk, arm *atomic.Bool) {
	t.Helper()
	arm = &atomic.Bool{}
	fs := faultfs.New(base, func(op faultfs.Op) error {
		if arm.Load() {
			return when(op)
		}
		return nil
	})
	return openDisk(t, fs), arm
}

func isChunk(op faultfs.Op) bool { return strings.HasSuffix(op.Path, chunkSuffix) }

// TestFailedSyncFencesTheDisk: all chunks, all writes; reads go on; the next start does not trust the disk either.
func TestFailedSyncFencesTheDisk(t *testing.T) {
	base := formatted(t)
	var syncs atomic.Int32
	d, arm := breaking(t, base, func(op faultfs.Op) error {
		if op.Kind == faultfs.Datasync && isChunk(op) {
			syncs.Add(1)
			return unix.EIO
		}
		return nil
	})
	mustCreate(t, d, 1)
	mustCreate(t, d, 2)
	data := random(1, 100)
	mustAdd(t, d, 1, 0, data)
	mustAdd(t, d, 2, 0, data)
	arm.Store(true)
	failed := typesv1.Reason_REASON_DISK_FAILED
	wantReason(t, add(d, key(1), frame(100, data)), failed)
	wantReason(t, add(d, key(1), frame(100, data)), failed)
	wantReason(t, add(d, key(2), frame(100, data)), failed) // another chunk of the disk
	wantReason(t, d.Create(header(3)), failed)
	wantReason(t, d.Seal(key(1), 100), failed)
	_, err := d.Fence(key(2))
	wantReason(t, err, failed)
	if got := syncs.Load(); got != 1 {
		t.Errorf("%d syncs, want 1", got)
	}
	mustRead(t, d, 1, data)
	if err := d.Close(t.Context()); err != nil {
		t.Error(err)
	}

	again := openDisk(t, base) // the cable is plugged in again: the marker stays
	if s := again.Status(); s.State != StateFailed {
		t.Errorf("after a restart: %+v", s)
	}
	mustRead(t, again, 1, data)
	_, err = again.Fence(key(1))
	wantReason(t, err, failed)
	if err := again.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := base.Remove(path.Join(testPath, failedName)); err != nil {
		t.Fatal(err)
	}
	trusted := openDisk(t, base)
	if r, err := trusted.Fence(key(1)); err != nil || r.EndRow < 100 {
		t.Errorf("trusted again: fenced at %d, error %v", r.EndRow, err)
	}
}

// TestFailedCatalogue: a fence or a create that is not durable is not answered.
func TestFailedCatalogue(t *testing.T) {
	d, arm := breaking(t, formatted(t), func(op faultfs.Op) error {
		if op.Kind == faultfs.Datasync && !isChunk(op) {
			return unix.EIO
		}
		return nil
	})
	mustCreate(t, d, 1)
	arm.Store(true)
	_, err := d.Fence(key(1))
	wantReason(t, err, typesv1.Reason_REASON_DISK_FAILED)
	wantReason(t, d.Create(header(2)), typesv1.Reason_REASON_DISK_FAILED)
	if d.Chunks() != 1 {
		t.Errorf("%d chunks", d.Chunks())
	}
}

func TestFailedCreate(t *testing.T) {
	for _, kind := range []faultfs.Kind{faultfs.Create, faultfs.Allocate, faultfs.Write, faultfs.Datasync, faultfs.SyncDir} {
		t.Run(string(kind), func(t *testing.T) {
			d, arm := breaking(t, formatted(t), func(op faultfs.Op) error {
				if op.Kind == kind {
					return unix.EIO
				}
				return nil
			})
			arm.Store(true)
			wantReason(t, d.Create(header(1)), typesv1.Reason_REASON_DISK_FAILED)
			wantReason(t, d.Create(header(2)), typesv1.Reason_REASON_DISK_FAILED)
		})
	}
}

func TestReadOnlyDisk(t *testing.T) {
	base := formatted(t)
	d, arm := breaking(t, base, func(op faultfs.Op) error {
		switch op.Kind {
		case faultfs.Write, faultfs.Datasync, faultfs.Allocate, faultfs.Truncate, faultfs.Create, faultfs.Remove:
			return unix.EROFS
		default:
			return nil
		}
	})
	mustCreate(t, d, 1)
	data := random(1, 100)
	mustAdd(t, d, 1, 0, data)
	arm.Store(true)
	readOnly := typesv1.Reason_REASON_DISK_READ_ONLY
	wantReason(t, add(d, key(1), frame(100, data)), readOnly)
	wantReason(t, d.Create(header(2)), readOnly)
	_, err := d.Fence(key(1))
	wantReason(t, err, readOnly)
	mustRead(t, d, 1, data)
	if s := d.Status(); s.State != StateReadOnly {
		t.Errorf("%+v", s)
	}
}

// TestOpenReadOnly: a disk that cannot be written when the process starts is read as far as it goes.
func TestOpenReadOnly(t *testing.T) {
	base := formatted(t)
	d := openDisk(t, base)
	mustCreate(t, d, 1)
	data := random(1, 100)
	mustAdd(t, d, 1, 0, data)
	after := base.CrashClone(newRand(1), 0)
	ro := openDisk(t, &readOnlyFS{FS: after})
	if s := ro.Status(); s.State != StateReadOnly {
		t.Errorf("%+v", s)
	}
	mustRead(t, ro, 1, data)
	_, err := ro.Fence(key(1))
	wantReason(t, err, typesv1.Reason_REASON_DISK_READ_ONLY)
	wantReason(t, add(ro, key(1), frame(100, data)), typesv1.Reason_REASON_DISK_READ_ONLY)
	if r, _, err := ro.Stat(key(1), false); err != nil || r.EndRow != 100 || r.State != format.StateOpen {
		t.Errorf("%+v, %v", r, err)
	}
}

// readOnlyFS opens nothing for writing.
type readOnlyFS struct{ vfs.FS }

func (f *readOnlyFS) Open(path string, mode vfs.Mode) (vfs.File, error) {
	if mode == vfs.ReadWrite {
		return nil, unix.EROFS
	}
	return f.FS.Open(path, mode)
}

// TestFullDisk: no new chunks, no more rows; reads, fences and seals go on; space that comes back is used.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := formatted(t)
		d := openDisk(t, base)
		mustCreate(t, d, 1)
		mustCreate(t, d, 2)
		synctest.Wait()
		usage, _ := base.Usage("/")
		base.SetCapacity(usage.Capacity - usage.Free + 3<<20)
		var want []byte
		var err error
		for i := uint64(0); i < 100 && err == nil; i++ {
			data := random(i, 100_000)
			if format.BlockSize-len(want)%format.BlockSize < len(data) {
				data = data[:format.BlockSize-len(want)%format.BlockSize]
			}
			if err = add(d, key(1), frame(uint64(len(want)), data)); err == nil {
				want = append(want, data...)
			}
		}
		full := typesv1.Reason_REASON_DISK_FULL
		wantReason(t, err, full)
		wantReason(t, add(d, key(2), frame(0, random(1, 10))), full)
		wantReason(t, d.Create(header(3)), full)
		if s := d.Status(); s.State != StateFull {
			t.Errorf("%+v", s)
		}
		mustRead(t, d, 1, want)
		r, err := d.Fence(key(1))
		if err != nil || r.EndRow != uint64(len(want)) {
			t.Fatalf("fenced at %d, error %v; want %d", r.EndRow, err, len(want))
		}
		if err := d.Seal(key(1), r.EndRow); err != nil {
			t.Fatal(err)
		}
		mustRead(t, d, 1, want)
		base.SetCapacity(1 << 30)
		time.Sleep(2 * refreshEvery)
		if err := add(d, key(2), frame(0, random(1, 10))); err != nil {
			t.Errorf("space is back: %v", err)
		}
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// TestFullFileSystem is the same on a real one of 64 MiB.
func TestFullFileSystem(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64m"); err != nil {
		t.Skipf("a small tmpfs needs root: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	at := path.Join(dir, "disk")
	if err := Format(vfs.OS{}, at, testCluster); err != nil {
		t.Fatal(err)
	}
	d, err := Open(Options{FS: vfs.OS{}, Path: at, Log: slog.New(slog.DiscardHandler), OpenFiles: 8})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	mustCreate(t, d, 1)
	data := random(1, format.BlockSize)
	rows := uint64(0)
	for ; err == nil && rows < 100<<20; rows += format.BlockSize {
		err = add(d, key(1), frame(rows, data))
	}
	wantReason(t, err, typesv1.Reason_REASON_DISK_FULL)
	rows -= format.BlockSize
	if rows < 50<<20 {
		t.Errorf("only %d rows of 64 MiB", rows)
	}
	// Somebody else takes the rest.
	ballast, err := os.Create(path.Join(dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 4096); err == nil; {
		_, err = ballast.Write(block)
	}
	_ = ballast.Close()
	r, err := d.Fence(key(1))
	if err != nil || r.EndRow != rows {
		t.Fatalf("fenced at %d, error %v; want %d", r.EndRow, err, rows)
	}
	if err := d.Seal(key(1), rows); err != nil {
		t.Errorf("seal on a full file system: %v", err)
	}
	if got, err := d.Read(context.Background(), key(1), rows-format.BlockSize, format.BlockSize, nil); err != nil || string(got.Data) != string(data) {
		t.Errorf("read: %v", err)
	}
}

// TestUnreadableDisk: one bad sector is damage, a run of errors is a dead disk.
func TestUnreadableDisk(t *testing.T) {
	d, arm := breaking(t, formatted(t), func(op faultfs.Op) error {
		if op.Kind == faultfs.Read && isChunk(op) {
			return unix.EIO
		}
		return nil
	})
	mustCreate(t, d, 1)
	mustAdd(t, d, 1, 0, random(1, 100))
	arm.Store(true)
	_, err := d.Read(context.Background(), key(1), 0, 10, nil)
	wantReason(t, err, typesv1.Reason_REASON_CHUNK_CORRUPT)
	if s := d.Status(); s.State != StateOK {
		t.Errorf("after one bad read: %+v", s)
	}
	for range readErrors {
		_, _ = d.Read(context.Background(), key(1), 0, 10, nil)
	}
	if s := d.Status(); s.State != StateFailed {
		t.Errorf("after a run of bad reads: %+v", s)
	}
}

// TestDamageOnTheWay: a bit that flips between disk and reader is refused; a scrub that finds nothing takes it back.
func TestDamageOnTheWay(t *testing.T) {
	d, arm := breaking(t, formatted(t), func(op faultfs.Op) error {
		if op.Kind == faultfs.Read && isChunk(op) {
			return &faultfs.RottenError{At: 50}
		}
		return nil
	})
	mustCreate(t, d, 1)
	data := random(1, 100)
	mustAdd(t, d, 1, 0, data)
	arm.Store(true)
	_, err := d.Read(context.Background(), key(1), 0, 100, nil)
	wantReason(t, err, typesv1.Reason_REASON_CHUNK_CORRUPT)
	arm.Store(false)
	if !d.List()[0].Damaged {
		t.Error("damage that a read met does not show")
	}
	if found, err := d.Scrub(t.Context(), key(1), func(context.Context, int64) error { return nil }); err != nil || !found.Clean() {
		t.Errorf("scrub found %+v, error %v", found, err)
	}
	if d.List()[0].Damaged {
		t.Error("a clean scrub does not take the damage back")
	}
	mustRead(t, d, 1, data)
}

// TestBrokenCatalogueFailsTheDisk: whatever the errno, a disk whose catalogue cannot be trusted any more says so, or
// placement would choose it again and again.
func TestBrokenCatalogueFailsTheDisk(t *testing.T) {
	d, arm := breaking(t, formatted(t), func(op faultfs.Op) error {
		if op.Kind == faultfs.Datasync && strings.Contains(op.Path, "catalogue") {
			return unix.ENOMEM
		}
		return nil
	})
	arm.Store(true)
	wantReason(t, d.Create(header(1)), typesv1.Reason_REASON_DISK_FAILED)
	if got := d.Status().State; got != StateFailed {
		t.Errorf("state %v, want failed", got)
	}
}

// TestTooManyFiles is not the disk's fault.
func TestTooManyFiles(t *testing.T) {
	d, arm := breaking(t, formatted(t), func(op faultfs.Op) error {
		if op.Kind == faultfs.Create || op.Kind == faultfs.Open {
			return unix.EMFILE
		}
		return nil
	})
	arm.Store(true)
	wantReason(t, d.Create(header(1)), typesv1.Reason_REASON_OVERLOADED)
	arm.Store(false)
	mustCreate(t, d, 1)
}
