// Package server answers ChunkService, one file for each RPC.
package server

import (
	"context"
	"sync"

	"google.golang.org/grpc/codes"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/chunkserver/internal/disk"
	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/kit/fault"
)

const (
	// maxDetached bounds changes under way, also those whose callers gave up on a disk that hangs.
	maxDetached = 1024
	// maxScrubs bounds verifications on demand: each reads a whole chunk without a rate.
	maxScrubs = 2
)

// Disks finds the node's disks.
type Disks interface {
	// Disk finds one by its id. Errors: NO_SUCH_DISK, UNAVAILABLE.
	Disk(id string) (*disk.Disk, error)
	// Disks are all that are open.
	Disks() []*disk.Disk
}

// Service is a chunkv1.ChunkServiceServer.
type Service struct {
	chunkv1.UnimplementedChunkServiceServer

	disks Disks
	// detached are changes that go on when their caller has left.
	detached sync.WaitGroup
	slots    chan struct{}
	scrubs   chan struct{}
}

// New makes a service on a node's disks.
func New(disks Disks) *Service {
	return &Service{disks: disks, slots: make(chan struct{}, maxDetached), scrubs: make(chan struct{}, maxScrubs)}
}

// Wait returns when all changes have ended, also those whose callers have left. Nothing may be called after it began.
func (s *Service) Wait() { s.detached.Wait() }

// find resolves a reference. Errors: INVALID_ARGUMENT, NO_SUCH_DISK, UNAVAILABLE.
func (s *Service) find(ref *chunkv1.ChunkRef) (*disk.Disk, format.Key, error) {
	if ref == nil {
		return nil, format.Key{}, invalid("chunk: it is needed")
	}
	d, err := s.disks.Disk(ref.GetDisk())
	if err != nil {
		return nil, format.Key{}, err
	}
	return d, format.Key{
		Volume: ref.GetVolume(), Generation: ref.GetGeneration(), Column: ref.GetColumn(), Attempt: ref.GetAttempt(),
	}, nil
}

func invalid(format string, args ...any) error {
	return fault.New(codes.InvalidArgument, typesv1.Reason_REASON_INVALID_ARGUMENT, format, args...)
}

// detach runs a change to its end, but waits only as long as ctx: a disk that hangs in the kernel holds neither the
// caller nor, half done, the change.
func (s *Service) detach(ctx context.Context, change func() error) error {
	select {
	case s.slots <- struct{}{}:
	default:
		return fault.New(codes.ResourceExhausted, typesv1.Reason_REASON_OVERLOADED, "%d changes are under way", maxDetached)
	}
	done := make(chan error, 1)
	s.detached.Go(func() {
		defer func() { <-s.slots }()
		done <- change()
	})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fault.FromContext(ctx.Err())
	}
}

// describe is a chunk's record as the API has it.
func describe(diskID string, r *format.ChunkRecord) *chunkv1.ChunkInfo {
	return &chunkv1.ChunkInfo{
		Chunk: &chunkv1.ChunkRef{
			Volume: r.Key.Volume, Generation: r.Key.Generation, Column: r.Key.Column, Attempt: r.Key.Attempt, Disk: diskID,
		},
		State: states(r.State), Writer: r.Writer, Term: r.Term, K: uint32(r.K), M: uint32(r.M),
		EndRow: r.EndRow, FileBytes: r.FileBytes, VerifiedMs: r.VerifiedMs, Damaged: r.Damaged,
	}
}

func states(s format.State) chunkv1.ChunkState {
	switch s {
	case format.StateOpen:
		return chunkv1.ChunkState_CHUNK_STATE_OPEN
	case format.StateFenced:
		return chunkv1.ChunkState_CHUNK_STATE_FENCED
	case format.StateSealed:
		return chunkv1.ChunkState_CHUNK_STATE_SEALED
	default:
		return chunkv1.ChunkState_CHUNK_STATE_UNSPECIFIED
	}
}

func frames(entries []format.Entry) []*chunkv1.FrameInfo {
	out := make([]*chunkv1.FrameInfo, len(entries))
	for i := range entries {
		e := &entries[i]
		out[i] = &chunkv1.FrameInfo{
			Row: e.Row, Rows: e.Rows, Stored: e.Stored, FileOffset: uint64(e.Offset), Damaged: e.Damaged,
			Continuation: e.Continuation,
		}
	}
	return out
}
