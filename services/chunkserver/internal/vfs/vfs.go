// Package vfs is the file system as a chunk-server uses it: a seam for tests that break disks (faultfs) and cut their
// power (crashfs). OS is the real one.
//
// Constraints:
//
//  1. Nothing is durable before Datasync (a file's bytes and size) and SyncDir (names) returned nil.
//  2. Whole pages (offset, memory and lengths, see Pages) may go past the page cache: a page of a file is written either
//     by such writes or by others, not by both at a time.
//  3. Errors carry the errno, so that errors.Is(err, unix.ENOSPC) works through any implementation.
package vfs

import "io"

// Reader is a file's reading half.
type Reader interface {
	// ReadAt reads len(p) bytes; fewer only with an error, io.EOF at the file's end.
	io.ReaderAt
	// Size is the file's length in bytes, preallocated space included.
	Size() (int64, error)
	// DropCache asks that later reads of clean bytes come from the disk, not from memory. Advice: errors say that it
	// was not taken.
	DropCache(off, n int64) error
}

// Writer is a file's writing half.
type Writer interface {
	// WriteVec writes the buffers one after the other, from off on: all of them or an error.
	WriteVec(off int64, bufs ...[]byte) error
	// Datasync makes the file's bytes and size durable. After an error nothing may be concluded from a second call.
	Datasync() error
	// Truncate sets the length; bytes beyond it, and space preallocated there, are given back.
	Truncate(size int64) error
	// Allocate reserves space for [off, off+n) and grows the file to hold it; new bytes read as zeros.
	Allocate(off, n int64) error
}

// File is an open file. It is safe for concurrent use; Close is called once, by the last user.
type File interface {
	Reader
	Writer
	io.Closer
}

// Mode says what a file is opened for.
type Mode int

// The modes of Files.Open.
const (
	ReadOnly Mode = iota
	ReadWrite
)

// Files are the operations on names of files.
type Files interface {
	// Create makes an empty file that must not exist yet (fs.ErrExist), for reading and writing.
	Create(path string) (File, error)
	// Open opens a file that exists (fs.ErrNotExist).
	Open(path string, mode Mode) (File, error)
	// Rename replaces newPath. Not for the path of an acknowledgement: see SyncDir.
	Rename(oldPath, newPath string) error
	Remove(path string) error
}

// Folders are the operations on folders.
type Folders interface {
	// Mkdir makes a folder whose parent exists (fs.ErrExist, fs.ErrNotExist).
	Mkdir(path string) error
	// List returns the names in a folder, in no order.
	List(path string) ([]string, error)
	// SyncDir makes the names in a folder durable. A nil may be a lie on a dying disk (XFS after a shutdown): sync a
	// file of the same file system afterwards before answering anyone.
	SyncDir(path string) error
}

// Usage is the space of a file system, in bytes; Free is what an unprivileged writer may still use.
type Usage struct {
	Capacity int64
	Free     int64
}

// Volume are the operations on a whole file system.
type Volume interface {
	// Usage measures the file system that holds path.
	Usage(path string) (Usage, error)
	// Lock takes an exclusive lock on the file path, made if it is absent, until the answer is closed or the process
	// ends. ErrLocked when somebody else holds it.
	Lock(path string) (io.Closer, error)
}

// FS is a file system.
type FS interface {
	Files
	Folders
	Volume
}
