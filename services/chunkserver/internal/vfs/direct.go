package vfs

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// PageSize is what offset, memory and lengths must be multiples of to move directly: no disk asks for more.
	PageSize = 4096
	// directLeast is where that begins to pay: less costs less as a copy that joins the next sync.
	directLeast = 64 << 10
	// readUnit is what is remembered as read: a block of a chunk.
	readUnit = 1 << 20
	// readUnits is enough for a chunk of 1 GiB.
	readUnits = 1024
	// directReads is how many reads of a unit go past the page cache until one fills it. The cache is there to spare the
	// disk, not the processor: filling it costs twice a direct read, and reading from it a little more than one.
	directReads = 8
)

// Pages returns memory for n pages that begins at a page's beginning.
func Pages(n int) []byte {
	b := make([]byte, (n+1)*PageSize)
	skip := -int(address(b)) & (PageSize - 1)
	return b[skip : skip+n*PageSize : skip+n*PageSize]
}

// direct is a file's second descriptor, for whole pages past the page cache: the kernel's copy of large frames costs more
// than all the rest of writing them, and pushes out of memory what is in use.
type direct struct {
	// flags are those the file was opened with.
	flags int

	mu sync.Mutex
	// reads counts, up to directReads, those of each MiB of the file, modulo their number.
	reads [readUnits]uint8
	// fd is -1 as long as it is not needed, and when there cannot be one.
	fd int
	// refused says that there is none any more.
	refused bool
}

// open returns the descriptor, or false where there cannot be one. It reopens file descriptor fd, not a path, which may
// name something else by now.
func (d *direct) open(fd int) (int, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fd >= 0 || d.refused {
		return d.fd, !d.refused
	}
	err := ignoringEINTR(func() (err error) {
		d.fd, err = unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), d.flags&unix.O_ACCMODE|unix.O_DIRECT|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		d.fd, d.refused = -1, true
	}
	return d.fd, err == nil
}

// refuse remembers that the file system does not move pages directly, although it let the file be opened for that.
func (d *direct) refuse() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refused = true
}

func (d *direct) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	fd := d.fd
	d.fd, d.refused = -1, true
	if fd < 0 {
		return nil
	}
	return unix.Close(fd)
}

// again notes a read at an offset and says whether enough were direct before.
func (d *direct) again(off int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	count := &d.reads[readSlot(off)]
	if *count == directReads {
		return true
	}
	*count++
	return false
}

// forget makes the next reads of a range first ones.
func (d *direct) forget(off, n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for at := off &^ (readUnit - 1); at < off+n; at += readUnit {
		d.reads[readSlot(at)] = 0
	}
}

func readSlot(off int64) int { return int(off / readUnit % readUnits) }

// pwritev writes some of bufs, past the page cache where that is possible and pays.
func (f *osFile) pwritev(off int64, bufs [][]byte) (int, error) {
	if wholePages(off, bufs...) {
		if fd, ok := f.direct.open(f.fd); ok {
			n, err := unix.Pwritev(fd, bufs, off)
			if !errors.Is(err, unix.EINVAL) {
				return n, err
			}
			f.direct.refuse()
		}
	}
	return unix.Pwritev(f.fd, bufs, off)
}

// pread reads some of p. Many pages come past the page cache the first times that a file is asked for them: only what is
// read again and again is worth its memory, and what it costs to fill it.
func (f *osFile) pread(p []byte, off int64) (int, error) {
	whole := p[:len(p)&^(PageSize-1)]
	if !wholePages(off, whole) || f.direct.again(off) {
		return unix.Pread(f.fd, p, off)
	}
	if fd, ok := f.direct.open(f.fd); ok {
		n, err := unix.Pread(fd, whole, off)
		if !errors.Is(err, unix.EINVAL) {
			return n, err
		}
		f.direct.refuse()
	}
	return unix.Pread(f.fd, p, off)
}

// wholePages says whether bytes are enough whole pages, in the file and in memory.
func wholePages(off int64, bufs ...[]byte) bool {
	all := uintptr(off)
	size := 0
	for _, b := range bufs {
		all |= address(b) | uintptr(len(b))
		size += len(b)
	}
	return all&(PageSize-1) == 0 && size >= directLeast
}

// address is where bytes lie, to be looked at as a number and never turned back.
func address(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) } //nolint:gosec // read only
