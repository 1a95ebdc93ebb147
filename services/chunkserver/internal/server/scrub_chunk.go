package server

import (
	"context"

	"google.golang.org/grpc/codes"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// ScrubChunk verifies a chunk now, as fast as the disk reads.
func (s *Service) ScrubChunk(ctx context.Context, req *chunkv1.ScrubChunkRequest) (*chunkv1.ScrubChunkResponse, error) {
	d, key, err := s.find(req.GetChunk())
	if err != nil {
		return nil, err
	}
	select {
	case s.scrubs <- struct{}{}:
		defer func() { <-s.scrubs }()
	default:
		return nil, fault.New(codes.ResourceExhausted, typesv1.Reason_REASON_OVERLOADED, "%d verifications run", maxScrubs)
	}
	found, err := d.Scrub(ctx, key, func(context.Context, int64) error { return nil })
	if err != nil {
		return nil, fault.FromContext(err)
	}
	out := &chunkv1.ScrubChunkResponse{Damaged: frames(found.Damaged), BytesVerified: uint64(found.Bytes)}
	// The file's first page and its index hold no rows: an entry without rows, at their place, stands for them.
	if found.BadHeader {
		out.Damaged = append(out.Damaged, &chunkv1.FrameInfo{Damaged: true})
	}
	if found.BadFooter {
		record, _, err := d.Stat(key, false)
		if err != nil {
			return nil, err
		}
		out.Damaged = append(out.Damaged, footerInfo(&record))
	}
	return out, nil
}

func footerInfo(r *format.ChunkRecord) *chunkv1.FrameInfo {
	return &chunkv1.FrameInfo{FileOffset: r.EndOffset, Damaged: true}
}
