// Package chunkfile is one chunk's file: making it, appending frames behind group syncs, finding what a crash left,
// reading rows, sealing and verifying. What a chunk means among others, and what a disk does when it fails, is not its
// business: see package disk.
//
// Constraints:
//
//  1. An append is answered after its bytes are on stable storage; one sync serves all that were written before it.
//  2. Nothing that was acknowledged is written again: each frame begins on a page of its own.
//  3. Rows show to readers only once they are durable.
//  4. Bytes are compared with their checksums before they are written, and after they are read.
//  5. A bad frame is the torn tail only if no later frame knew it to be synced. Rot is kept and counted.
//  6. A chunk always has room allocated for its footer: a full disk can seal.
package chunkfile

import (
	"sync/atomic"

	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// Disk is what a chunk's writer needs of the disk that the chunk is on.
type Disk interface {
	// Writable is nil, or what to answer because nothing may be written.
	Writable() error
	// Failed is told that a write or a sync went wrong; it answers what to tell the writers.
	Failed(doing string, err error) error
	// Reserve says whether n more bytes may be allocated: nil or unix.ENOSPC.
	Reserve(n int64) error
	// SyncBegins is told of a sync; the answer is called at its end with what it made durable.
	SyncBegins() (ended func(frames int, bytes int64, err error))
	// Background runs a task soon; false when it will not.
	Background(task func()) bool
}

// Handle is an open file with several users; the last one closes it.
type Handle struct {
	vfs.File
	users atomic.Int32
}

// NewHandle takes an open file over; the caller is its first user.
func NewHandle(f vfs.File) *Handle {
	h := &Handle{File: f}
	h.users.Store(1)
	return h
}

// Acquire adds a user; only a user may call it.
func (h *Handle) Acquire() *Handle {
	h.users.Add(1)
	return h
}

// Release ends a use.
func (h *Handle) Release() error {
	if h.users.Add(-1) > 0 {
		return nil
	}
	return h.File.Close()
}

// Fenced is what an append to a chunk that takes no more frames gets.
func Fenced() error {
	return fault.New(codes.FailedPrecondition, typesv1.Reason_REASON_CHUNK_FENCED, "the chunk takes no more frames")
}

func rowMismatch(row, end uint64) error {
	return fault.New(codes.FailedPrecondition, typesv1.Reason_REASON_ROW_MISMATCH,
		"the frame begins at row %d, the chunk ends at %d", row, end)
}

func invalid(err error) error {
	return fault.New(codes.InvalidArgument, typesv1.Reason_REASON_INVALID_ARGUMENT, "%v", err)
}
