package server

import (
	"context"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
)

// maxColumns bounds k and m: a Reed–Solomon code over bytes has 256 columns at most.
const maxColumns = 256

// CreateChunk makes an empty chunk.
func (s *Service) CreateChunk(ctx context.Context, req *chunkv1.CreateChunkRequest) (*chunkv1.CreateChunkResponse, error) {
	d, key, err := s.find(req.GetChunk())
	if err != nil {
		return nil, err
	}
	if err := checkCreate(req); err != nil {
		return nil, err
	}
	h := format.ChunkHeader{
		Key: key, K: req.GetK(), M: req.GetM(), Term: req.GetTerm(), Capacity: req.GetCapacity(),
		Cluster: req.GetClusterId(), Writer: req.GetWriter(),
	}
	if err := s.detach(ctx, func() error { return d.Create(h) }); err != nil {
		return nil, err
	}
	return &chunkv1.CreateChunkResponse{}, nil
}

func checkCreate(req *chunkv1.CreateChunkRequest) error {
	k, m := req.GetK(), req.GetM()
	switch {
	case req.GetClusterId() == "" || len(req.GetClusterId()) > format.MaxDiskID:
		return invalid("cluster_id: 1 to %d bytes are needed", format.MaxDiskID)
	case req.GetWriter() == "" || len(req.GetWriter()) > format.MaxName:
		return invalid("writer: 1 to %d bytes are needed", format.MaxName)
	case req.GetChunk().GetVolume() == 0:
		return invalid("chunk.volume: 0 is none")
	case k == 0 || k > maxColumns || m > maxColumns || k+m > maxColumns:
		return invalid("k and m: %d and %d are no code", k, m)
	case req.GetChunk().GetColumn() >= k+m:
		return invalid("chunk.column: %d of %d columns", req.GetChunk().GetColumn(), k+m)
	}
	return nil
}
