package crashfs

import (
	"io"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"
)

type file struct {
	fs       *FS
	inode    *inode
	name     string
	readOnly bool
}

func (f *file) fail(op string, errno unix.Errno) error {
	return &fs.PathError{Op: op, Path: f.name, Err: errno}
}

// begin locks for a changing operation and counts it.
func (f *file) begin(op string) (unlock func(), err error) {
	f.fs.mu.Lock()
	if f.readOnly {
		f.fs.mu.Unlock()
		return nil, f.fail(op, unix.EBADF)
	}
	f.fs.touch()
	return f.fs.mu.Unlock, nil
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if off >= int64(len(f.inode.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.inode.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return int64(len(f.inode.data)), nil
}

func (f *file) DropCache(int64, int64) error { return nil }

func (f *file) WriteVec(off int64, bufs ...[]byte) error {
	unlock, err := f.begin("pwritev")
	if err != nil {
		return err
	}
	defer unlock()
	for _, b := range bufs {
		if err := f.resize("pwritev", max(int64(len(f.inode.data)), off+int64(len(b)))); err != nil {
			return err
		}
		copy(f.inode.data[off:], b)
		f.inode.soil(off, off+int64(len(b)))
		off += int64(len(b))
	}
	return nil
}

func (f *file) Datasync() error {
	unlock, err := f.begin("fdatasync")
	if err != nil {
		return err
	}
	defer unlock()
	n := f.inode
	if len(n.durable) != len(n.data) {
		n.durable = slices.Clone(n.data)
	} else {
		for sector := range n.dirty {
			from := sector * sectorSize
			copy(n.durable[from:min(from+sectorSize, int64(len(n.data)))], n.data[from:])
		}
	}
	clear(n.dirty)
	return nil
}

func (f *file) Truncate(size int64) error {
	unlock, err := f.begin("ftruncate")
	if err != nil {
		return err
	}
	defer unlock()
	return f.resize("ftruncate", size)
}

func (f *file) Allocate(off, n int64) error {
	unlock, err := f.begin("fallocate")
	if err != nil {
		return err
	}
	defer unlock()
	return f.resize("fallocate", max(int64(len(f.inode.data)), off+n))
}

func (f *file) Close() error { return nil }

// resize sets the length; bytes that a shorter length cut off come back as zeros.
func (f *file) resize(op string, size int64) error {
	n, grow := f.inode, size-int64(len(f.inode.data))
	switch {
	case grow > 0:
		if f.fs.used+grow > f.fs.capacity {
			return f.fail(op, unix.ENOSPC)
		}
		n.data = append(n.data, make([]byte, grow)...)
	case grow < 0:
		n.data = n.data[:size:size]
		n.soil(size, int64(len(n.durable)))
	}
	f.fs.used += grow
	return nil
}

// soil marks the sectors of [from, to) as unsynced.
func (n *inode) soil(from, to int64) {
	for sector := from / sectorSize; sector*sectorSize < to; sector++ {
		n.dirty[sector] = struct{}{}
	}
}
