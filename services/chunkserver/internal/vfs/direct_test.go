package vfs

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// newFile makes a file of size zeros in a folder on the disk of the repository: what lies in /tmp may be memory.
func newFile(t *testing.T, size int64) *osFile {
	t.Helper()
	file, err := OS{}.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := file.Allocate(0, size); err != nil {
		t.Fatal(err)
	}
	f, ok := file.(*osFile)
	if !ok {
		t.Fatalf("a %T", file)
	}
	return f
}

func random(pages int) []byte {
	b := Pages(pages)
	_, _ = rand.NewChaCha8([32]byte{byte(pages)}).Read(b)
	return b
}

// TestDirect: which bytes go past the page cache is a matter of speed, never of content.
func TestDirect(t *testing.T) {
	const pages = 64
	whole := random(pages)
	odd := make([]byte, pages*PageSize+1)[1:]
	copy(odd, whole)
	for name, tt := range map[string]struct {
		off    int64
		bufs   [][]byte
		direct bool
	}{
		"whole pages":                {PageSize, [][]byte{whole[:PageSize], whole[PageSize:]}, true},
		"the least":                  {0, [][]byte{whole[:directLeast]}, true},
		"too little":                 {0, [][]byte{whole[:directLeast-PageSize]}, false},
		"between pages of the file":  {512, [][]byte{whole}, false},
		"a part of a page":           {0, [][]byte{whole[:len(whole)-1]}, false},
		"a part of a page in memory": {0, [][]byte{whole[:100], whole[100:]}, false},
		"odd memory":                 {0, [][]byte{odd}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := wholePages(tt.off, tt.bufs...); got != tt.direct {
				t.Errorf("direct: %v, want %v", got, tt.direct)
			}
			f := newFile(t, 2<<20)
			if err := f.WriteVec(tt.off, tt.bufs...); err != nil {
				t.Fatal(err)
			}
			if used := f.direct.fd >= 0 || f.direct.refused; used != tt.direct {
				t.Errorf("a second descriptor was asked for: %v, want %v", used, tt.direct)
			}
			want := bytes.Join(tt.bufs, nil)
			for _, into := range [][]byte{Pages(pages), make([]byte, pages*PageSize+1)[1:]} {
				for range directReads + 2 { // past the page cache, into it, out of it
					got := into[:len(want)]
					clear(got)
					if _, err := f.ReadAt(got, tt.off); err != nil || !bytes.Equal(got, want) {
						t.Fatalf("other bytes came back, %v", err)
					}
				}
			}
		})
	}
}

// TestDirectAndBuffered: small frames and large ones share a file, each on pages of its own.
func TestDirectAndBuffered(t *testing.T) {
	f := newFile(t, 1<<20)
	small, large := []byte("a small frame"), random(32)
	for i := range int64(4) {
		at := i * 64 * PageSize
		if err := errors.Join(f.WriteVec(at, small), f.WriteVec(at+PageSize, large), f.WriteVec(at+40*PageSize, small)); err != nil {
			t.Fatal(err)
		}
	}
	got := Pages(256)
	if _, err := f.ReadAt(got, 0); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		part := got[i*64*PageSize:]
		if !bytes.HasPrefix(part, small) || !bytes.HasPrefix(part[PageSize:], large) || !bytes.HasPrefix(part[40*PageSize:], small) {
			t.Errorf("part %d came back otherwise", i)
		}
	}
}

// TestFirstReadsLeaveTheCacheAlone: only what is read again and again is worth the memory, and a scrub counts for nothing.
func TestFirstReadsLeaveTheCacheAlone(t *testing.T) {
	f := newFile(t, 4<<20)
	block := random(256)
	if err := errors.Join(f.WriteVec(0, block), f.WriteVec(1<<20, block), f.Datasync(), f.DropCache(0, 4<<20)); err != nil {
		t.Fatal(err)
	}
	if f.direct.refused {
		t.Skip("this file system has no direct reads")
	}
	read := func() {
		t.Helper()
		if _, err := f.ReadAt(block, 0); err != nil {
			t.Fatal(err)
		}
	}
	for range directReads {
		read()
	}
	if n := cached(t, f); n > 0 {
		t.Errorf("%d pages are in memory after %d reads", n, directReads)
	}
	read()
	if n := cached(t, f); n < 256 {
		t.Errorf("%d pages are in memory after one more read, want 256", n)
	}
	if err := f.DropCache(0, 1<<20); err != nil {
		t.Fatal(err)
	}
	read()
	if n := cached(t, f); n > 0 {
		t.Errorf("%d pages are in memory after the first read since the cache was dropped", n)
	}
}

// cached counts the file's pages in memory.
func cached(t *testing.T, f *osFile) int {
	t.Helper()
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	mapped, err := unix.Mmap(f.fd, 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(mapped) }()
	resident := make([]byte, size/PageSize)
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, address(mapped), uintptr(size), address(resident)); errno != 0 {
		t.Fatal(errno)
	}
	n := 0
	for _, r := range resident {
		n += int(r & 1)
	}
	return n
}
