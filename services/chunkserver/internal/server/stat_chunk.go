package server

import (
	"context"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
)

// StatChunk describes a chunk.
func (s *Service) StatChunk(_ context.Context, req *chunkv1.StatChunkRequest) (*chunkv1.StatChunkResponse, error) {
	d, key, err := s.find(req.GetChunk())
	if err != nil {
		return nil, err
	}
	record, entries, err := d.Stat(key, req.GetFrames())
	if err != nil {
		return nil, err
	}
	return &chunkv1.StatChunkResponse{Info: describe(d.ID(), &record), Frames: frames(entries)}, nil
}
