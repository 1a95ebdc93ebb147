package server

import (
	"context"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
)

// FenceChunk ends appends and answers where the chunk ends.
func (s *Service) FenceChunk(ctx context.Context, req *chunkv1.FenceChunkRequest) (*chunkv1.FenceChunkResponse, error) {
	d, key, err := s.find(req.GetChunk())
	if err != nil {
		return nil, err
	}
	answer := make(chan *chunkv1.FenceChunkResponse, 1)
	err = s.detach(ctx, func() error {
		r, err := d.Fence(key)
		answer <- &chunkv1.FenceChunkResponse{EndRow: r.EndRow, Damaged: r.Damaged}
		return err
	})
	if err != nil {
		return nil, err
	}
	return <-answer, nil
}
