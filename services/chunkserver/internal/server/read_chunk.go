package server

import (
	"context"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	"github.com/drystone-store/drystone/services/kit/rpc"
)

// ReadChunk reads rows, into the memory that a caller in this process lent.
func (s *Service) ReadChunk(ctx context.Context, req *chunkv1.ReadChunkRequest) (*chunkv1.ReadChunkResponse, error) {
	d, key, err := s.find(req.GetChunk())
	if err != nil {
		return nil, err
	}
	rows, err := d.Read(ctx, key, req.GetRow(), req.GetRows(), rpc.Buffer(ctx))
	if err != nil {
		return nil, err
	}
	return &chunkv1.ReadChunkResponse{Crcs: rows.CRCs, Head: rows.Head, Granule: rows.Granule, Data: rows.Data}, nil
}
