package vfs

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// ErrLocked says that another process, or another part of this one, holds a lock.
var ErrLocked = errors.New("locked by another process")

// Modes of what is made: only the service reads its own disks.
const (
	fileMode   = 0o600
	folderMode = 0o700
)

// OS is the operating system's file system.
type OS struct{}

var _ FS = OS{}

// Create implements Files.
func (OS) Create(path string) (File, error) {
	return openFile(path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
}

// Open implements Files.
func (OS) Open(path string, mode Mode) (File, error) {
	if mode == ReadWrite {
		return openFile(path, unix.O_RDWR)
	}
	return openFile(path, unix.O_RDONLY)
}

// Rename implements Files.
func (OS) Rename(oldPath, newPath string) error { return os.Rename(oldPath, newPath) }

// Remove implements Files.
func (OS) Remove(path string) error { return os.Remove(path) }

// Mkdir implements Folders.
func (OS) Mkdir(path string) error { return os.Mkdir(path, folderMode) }

// List implements Folders.
func (OS) List(path string) ([]string, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	names, err := dir.Readdirnames(-1)
	return names, errors.Join(err, dir.Close())
}

// SyncDir implements Folders.
func (OS) SyncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Usage implements Volume.
func (OS) Usage(path string) (Usage, error) {
	var st unix.Statfs_t
	if err := ignoringEINTR(func() error { return unix.Statfs(path, &st) }); err != nil {
		return Usage{}, fmt.Errorf("statfs %s: %w", path, err)
	}
	return Usage{Capacity: int64(st.Blocks) * st.Bsize, Free: int64(st.Bavail) * st.Bsize}, nil
}

// Lock implements Volume. On a read-only file system a lock file that exists can be locked, too.
func (OS) Lock(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode)
	if errors.Is(err, unix.EROFS) {
		f, err = os.Open(path)
	}
	if err != nil {
		return nil, err
	}
	err = ignoringEINTR(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrLocked
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return f, nil
}

// osFile calls the kernel directly: an os.File would add its poller's lock to every call, and has no pwritev.
type osFile struct {
	path   string
	fd     int
	direct direct
}

func openFile(path string, flags int) (File, error) {
	var fd int
	err := ignoringEINTR(func() (err error) {
		fd, err = unix.Open(path, flags|unix.O_CLOEXEC, fileMode)
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	// Objects are read as a whole or not at all, and in no order: nothing near a small one is worth reading ahead.
	_ = unix.Fadvise(fd, 0, 0, unix.FADV_RANDOM)
	return &osFile{path: path, fd: fd, direct: direct{fd: -1, flags: flags}}, nil
}

func (f *osFile) fail(op string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: f.path, Err: err}
}

func (f *osFile) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		n, err := f.pread(p[done:], off+int64(done))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return done, f.fail("pread", err)
		case n == 0:
			return done, io.EOF
		default:
			done += n
		}
	}
	return done, nil
}

func (f *osFile) Size() (int64, error) {
	var st unix.Stat_t
	err := ignoringEINTR(func() error { return unix.Fstat(f.fd, &st) })
	return st.Size, f.fail("fstat", err)
}

func (f *osFile) DropCache(off, n int64) error {
	f.direct.forget(off, n)
	return f.fail("fadvise", unix.Fadvise(f.fd, off, n, unix.FADV_DONTNEED))
}

func (f *osFile) WriteVec(off int64, bufs ...[]byte) error {
	for {
		for len(bufs) > 0 && len(bufs[0]) == 0 {
			bufs = bufs[1:]
		}
		if len(bufs) == 0 {
			return nil
		}
		n, err := f.pwritev(off, bufs)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return f.fail("pwritev", err)
		}
		if n == 0 {
			return f.fail("pwritev", io.ErrShortWrite)
		}
		off += int64(n)
		bufs = advance(bufs, n)
	}
}

// advance drops the first n bytes of bufs. Only a cut buffer makes a new slice: the caller's own stay as they are.
func advance(bufs [][]byte, n int) [][]byte {
	for len(bufs) > 0 && n >= len(bufs[0]) {
		n -= len(bufs[0])
		bufs = bufs[1:]
	}
	if n == 0 {
		return bufs
	}
	rest := append([][]byte{bufs[0][n:]}, bufs[1:]...)
	return rest
}

func (f *osFile) Datasync() error {
	return f.fail("fdatasync", ignoringEINTR(func() error { return unix.Fdatasync(f.fd) }))
}

func (f *osFile) Truncate(size int64) error {
	return f.fail("ftruncate", ignoringEINTR(func() error { return unix.Ftruncate(f.fd, size) }))
}

// Allocate falls back to a sparse extension where the file system cannot reserve: space may then run out at a write or
// a sync, which the callers handle as well.
func (f *osFile) Allocate(off, n int64) error {
	err := ignoringEINTR(func() error { return unix.Fallocate(f.fd, 0, off, n) })
	if !errors.Is(err, unix.EOPNOTSUPP) {
		return f.fail("fallocate", err)
	}
	size, err := f.Size()
	if err != nil || size >= off+n {
		return err
	}
	return f.Truncate(off + n)
}

func (f *osFile) Close() error {
	return f.fail("close", errors.Join(f.direct.close(), unix.Close(f.fd)))
}

// ignoringEINTR repeats a call that a signal interrupted. Never used for what may not be repeated: close.
func ignoringEINTR(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
