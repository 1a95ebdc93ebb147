package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"

	"go.uber.org/goleak"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/chunkserver/internal/chunkfile"
	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs/crashfs"
	"github.com/drystone-store/drystone/services/kit/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testPath    = "/data/disk"
	testCluster = "cluster-1"
)

// formatted makes a file system with one disk.
func formatted(t testing.TB) *crashfs.FS {
	t.Helper()
	fs := crashfs.New()
	if err := Format(fs, testPath, testCluster); err != nil {
		t.Fatal(err)
	}
	return fs
}

func options(fs vfs.FS) Options {
	return Options{FS: fs, Path: testPath, Log: slog.New(slog.DiscardHandler), OpenFiles: 8}
}

// openDisk opens the disk on fs and closes it at the test's end.
func openDisk(t testing.TB, fs vfs.FS) *Disk {
	t.Helper()
	d, err := Open(options(fs))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close(context.Background()) })
	return d
}

func key(volume uint64) format.Key { return format.Key{Volume: volume, Generation: 1, Column: 2} }

func header(volume uint64) format.ChunkHeader {
	return format.ChunkHeader{Key: key(volume), K: 2, M: 1, Term: 9, Capacity: 32 << 20, Writer: "writer-1"}
}

func mustCreate(t testing.TB, d *Disk, volume uint64) {
	t.Helper()
	if err := d.Create(header(volume)); err != nil {
		t.Fatal(err)
	}
}

func random(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32()) | 1
	}
	return b
}

// frame makes an append with its checksums, of granules of 4 KiB.
func frame(row uint64, data []byte) *chunkfile.Append {
	a := &chunkfile.Append{Row: row, Rows: uint32(len(data)), GranuleLog2: 12, Data: data}
	for at := 0; at < len(data); at += 4096 {
		a.CRCs = append(a.CRCs, format.Checksum(data[at:min(at+4096, len(data))]))
	}
	return a
}

// add appends and waits for the answer.
func add(d *Disk, k format.Key, a *chunkfile.Append) error {
	done := make(chan error, 1)
	a.Done = func(err error) { done <- err }
	if err := d.Append(k, a); err != nil {
		return err
	}
	return <-done
}

func mustAdd(t testing.TB, d *Disk, volume, row uint64, data []byte) {
	t.Helper()
	if err := add(d, key(volume), frame(row, data)); err != nil {
		t.Fatalf("append to volume %d at row %d: %v", volume, row, err)
	}
}

// mustRead compares rows from 0 on with want.
func mustRead(t testing.TB, d *Disk, volume uint64, want []byte) {
	t.Helper()
	if err := check(d, key(volume), want); err != nil {
		t.Error(err)
	}
}

func check(d *Disk, k format.Key, want []byte) error {
	for at := 0; at < len(want); {
		n := min(len(want)-at, format.BlockSize-at%format.BlockSize)
		got, err := d.Read(context.Background(), k, uint64(at), uint32(n), nil)
		if err != nil {
			return fmt.Errorf("read %v at %d: %w", k, at, err)
		}
		full := make([]byte, n)
		copy(full, got.Data)
		if !bytes.Equal(full, want[at:at+n]) {
			return fmt.Errorf("read %v at %d: other bytes", k, at)
		}
		at += n
	}
	return nil
}

func wantReason(t testing.TB, err error, want typesv1.Reason) {
	t.Helper()
	if !fault.Is(err, want) {
		t.Errorf("got %v (%v), want %v", err, fault.Reason(err), want)
	}
}

func scribble(t testing.TB, fs vfs.FS, path string, at int64, b ...byte) {
	t.Helper()
	f, err := fs.Open(path, vfs.ReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.WriteVec(at, b), f.Datasync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}
