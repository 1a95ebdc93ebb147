package vfs_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs/crashfs"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs/faultfs"
)

// everywhere runs one test on the real file system and on those of the tests: they must not differ.
func everywhere(t *testing.T, test func(t *testing.T, fsys vfs.FS, dir string)) {
	t.Helper()
	t.Run("os", func(t *testing.T) { test(t, vfs.OS{}, t.TempDir()) })
	t.Run("crashfs", func(t *testing.T) { test(t, crashfs.New(), "/") })
	t.Run("faultfs", func(t *testing.T) {
		test(t, faultfs.New(crashfs.New(), func(faultfs.Op) error { return nil }), "/")
	})
}

func TestFiles(t *testing.T) {
	everywhere(t, func(t *testing.T, fsys vfs.FS, dir string) {
		path := filepath.Join(dir, "f")
		if _, err := fsys.Open(path, vfs.ReadOnly); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("open what is not there: %v", err)
		}
		f, err := fsys.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fsys.Create(path); !errors.Is(err, fs.ErrExist) {
			t.Errorf("create twice: %v", err)
		}
		err = errors.Join(f.Allocate(0, 100), f.WriteVec(90, []byte("abc"), nil, []byte("defghijklmnop")), f.Datasync(), f.DropCache(0, 100))
		size, sizeErr := f.Size()
		if err = errors.Join(err, sizeErr); err != nil || size != 106 {
			t.Fatalf("%d bytes, %v", size, err)
		}
		b := make([]byte, 20)
		if n, err := f.ReadAt(b, 88); n != 18 || !errors.Is(err, io.EOF) || string(b[:n]) != "\x00\x00abcdefghijklmnop" {
			t.Errorf("read %q, %v", b[:n], err)
		}
		// Bytes that a shorter length cut off do not come back.
		err = errors.Join(f.Truncate(91), f.Allocate(91, 9), f.Close())
		again, openErr := fsys.Open(path, vfs.ReadOnly)
		if err = errors.Join(err, openErr); err != nil {
			t.Fatal(err)
		}
		if n, err := again.ReadAt(b, 88); n != 12 || !errors.Is(err, io.EOF) || !bytes.Equal(b[:n], append([]byte("\x00\x00a"), make([]byte, 9)...)) {
			t.Errorf("read %q, %v", b[:n], err)
		}
		if err := again.WriteVec(0, []byte("x")); err == nil {
			t.Error("written although it was opened for reading")
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestNames(t *testing.T) {
	everywhere(t, func(t *testing.T, fsys vfs.FS, dir string) {
		sub := filepath.Join(dir, "sub")
		if err := fsys.Mkdir(filepath.Join(sub, "deeper")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a folder in none: %v", err)
		}
		if err := fsys.Mkdir(sub); err != nil {
			t.Fatal(err)
		}
		if err := fsys.Mkdir(sub); !errors.Is(err, fs.ErrExist) {
			t.Errorf("a folder twice: %v", err)
		}
		for _, name := range []string{"a", "b", "c"} {
			f, err := fsys.Create(filepath.Join(sub, name))
			if err = errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
		}
		err := errors.Join(fsys.Rename(filepath.Join(sub, "a"), filepath.Join(sub, "b")), fsys.Remove(filepath.Join(sub, "c")), fsys.SyncDir(sub))
		names, listErr := fsys.List(sub)
		if err = errors.Join(err, listErr); err != nil || !cmp.Equal(names, []string{"b"}) {
			t.Errorf("%v, %v", names, err)
		}
		if u, err := fsys.Usage(sub); err != nil || u.Capacity <= 0 || u.Free <= 0 || u.Free > u.Capacity {
			t.Errorf("%+v, %v", u, err)
		}
	})
}

func TestLock(t *testing.T) {
	everywhere(t, func(t *testing.T, fsys vfs.FS, dir string) {
		path := filepath.Join(dir, "lock")
		lock, err := fsys.Lock(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fsys.Lock(path); !errors.Is(err, vfs.ErrLocked) {
			t.Errorf("locked twice: %v", err)
		}
		if err := lock.Close(); err != nil {
			t.Fatal(err)
		}
		again, err := fsys.Lock(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	})
}
