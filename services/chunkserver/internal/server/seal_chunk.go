package server

import (
	"context"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
)

// SealChunk writes the footer at the length that the map decided.
func (s *Service) SealChunk(ctx context.Context, req *chunkv1.SealChunkRequest) (*chunkv1.SealChunkResponse, error) {
	d, key, err := s.find(req.GetChunk())
	if err != nil {
		return nil, err
	}
	length := req.GetLength()
	if err := s.detach(ctx, func() error { return d.Seal(key, length) }); err != nil {
		return nil, err
	}
	return &chunkv1.SealChunkResponse{}, nil
}
