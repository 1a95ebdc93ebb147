// Package faultfs makes any file system fail where a test says.
package faultfs

import (
	"errors"

	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
)

// Kind names an operation.
type Kind string

// The operations that a hook sees.
const (
	Create   Kind = "create"
	Open     Kind = "open"
	Remove   Kind = "remove"
	Rename   Kind = "rename"
	SyncDir  Kind = "syncdir"
	Mkdir    Kind = "mkdir"
	Read     Kind = "read"
	Write    Kind = "write"
	Datasync Kind = "datasync"
	Truncate Kind = "truncate"
	Allocate Kind = "allocate"
	Usage    Kind = "usage"
)

// Op is an operation that is about to happen.
type Op struct {
	Kind Kind
	Path string
	// Offset and Length are those of reads, writes and allocations.
	Offset, Length int64
}

// Hook decides about an operation: nil lets it happen, an error comes back instead of it. It may block, and is called
// by many goroutines.
type Hook func(Op) error

// ShortError makes a write stop after N bytes with Err.
type ShortError struct {
	N   int64
	Err error
}

// Error implements error.
func (s *ShortError) Error() string { return "short write: " + s.Err.Error() }

// ErrSkip makes an operation do nothing and answer nil: a disk that lies.
var ErrSkip = errors.New("pretend that it worked")

// RottenError makes a read flip a bit of its byte At (counted from the read's beginning).
type RottenError struct{ At int64 }

// Error implements error.
func (r *RottenError) Error() string { return "flip a bit" }

// FS wraps a file system. Use New.
type FS struct {
	vfs.FS
	hook Hook
}

// New wraps base.
func New(base vfs.FS, hook Hook) *FS { return &FS{FS: base, hook: hook} }

// Create implements vfs.Files.
func (f *FS) Create(path string) (vfs.File, error) { return f.open(Create, path, f.FS.Create) }

// Open implements vfs.Files.
func (f *FS) Open(path string, mode vfs.Mode) (vfs.File, error) {
	return f.open(Open, path, func(p string) (vfs.File, error) { return f.FS.Open(p, mode) })
}

func (f *FS) open(kind Kind, path string, open func(string) (vfs.File, error)) (vfs.File, error) {
	if err := f.hook(Op{Kind: kind, Path: path}); err != nil {
		return nil, err
	}
	base, err := open(path)
	if err != nil {
		return nil, err
	}
	return NewFile(base, path, f.hook), nil
}

// NewFile wraps one open file.
func NewFile(base vfs.File, path string, hook Hook) vfs.File {
	return &file{File: base, path: path, hook: hook}
}

func (f *FS) run(op Op, do func() error) error { return run(f.hook, op, do) }

func run(hook Hook, op Op, do func() error) error {
	err := hook(op)
	if errors.Is(err, ErrSkip) {
		return nil
	}
	if err != nil {
		return err
	}
	return do()
}

// Remove implements vfs.Files.
func (f *FS) Remove(path string) error {
	return f.run(Op{Kind: Remove, Path: path}, func() error { return f.FS.Remove(path) })
}

// Rename implements vfs.Files.
func (f *FS) Rename(oldPath, newPath string) error {
	return f.run(Op{Kind: Rename, Path: newPath}, func() error { return f.FS.Rename(oldPath, newPath) })
}

// Mkdir implements vfs.Folders.
func (f *FS) Mkdir(path string) error {
	return f.run(Op{Kind: Mkdir, Path: path}, func() error { return f.FS.Mkdir(path) })
}

// SyncDir implements vfs.Folders.
func (f *FS) SyncDir(path string) error {
	return f.run(Op{Kind: SyncDir, Path: path}, func() error { return f.FS.SyncDir(path) })
}

// Usage implements vfs.Volume.
func (f *FS) Usage(path string) (u vfs.Usage, err error) {
	err = f.run(Op{Kind: Usage, Path: path}, func() error {
		u, err = f.FS.Usage(path)
		return err
	})
	return u, err
}

type file struct {
	vfs.File
	path string
	hook Hook
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	err := f.hook(Op{Kind: Read, Path: f.path, Offset: off, Length: int64(len(p))})
	var rotten *RottenError
	if err != nil && !errors.As(err, &rotten) {
		return 0, err
	}
	n, err := f.File.ReadAt(p, off)
	if rotten != nil && rotten.At < int64(n) {
		p[rotten.At] ^= 0x10
	}
	return n, err
}

func (f *file) WriteVec(off int64, bufs ...[]byte) error {
	var total int64
	for _, b := range bufs {
		total += int64(len(b))
	}
	err := f.hook(Op{Kind: Write, Path: f.path, Offset: off, Length: total})
	var short *ShortError
	switch {
	case errors.As(err, &short):
		return errors.Join(short.Err, f.File.WriteVec(off, cut(bufs, short.N)...))
	case errors.Is(err, ErrSkip):
		return nil
	case err != nil:
		return err
	}
	return f.File.WriteVec(off, bufs...)
}

// cut is the first n bytes of bufs.
func cut(bufs [][]byte, n int64) [][]byte {
	var out [][]byte
	for _, b := range bufs {
		b = b[:min(n, int64(len(b)))]
		n -= int64(len(b))
		out = append(out, b)
	}
	return out
}

func (f *file) Datasync() error {
	return run(f.hook, Op{Kind: Datasync, Path: f.path}, f.File.Datasync)
}

func (f *file) Truncate(size int64) error {
	return run(f.hook, Op{Kind: Truncate, Path: f.path, Offset: size}, func() error { return f.File.Truncate(size) })
}

func (f *file) Allocate(off, n int64) error {
	return run(f.hook, Op{Kind: Allocate, Path: f.path, Offset: off, Length: n}, func() error { return f.File.Allocate(off, n) })
}

var _ vfs.FS = (*FS)(nil)
