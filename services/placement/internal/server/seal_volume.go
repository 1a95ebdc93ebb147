package server

import (
	"context"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
)

// SealVolume ends a volume; the first caller decides its length.
func (p *Placement) SealVolume(
	ctx context.Context, req *placementv1.SealVolumeRequest,
) (*placementv1.SealVolumeResponse, error) {
	volume, err := p.state.SealVolume(ctx, req.GetVolume(), req.GetGeneration(), req.GetLength())
	if err != nil {
		return nil, err
	}
	return &placementv1.SealVolumeResponse{Volume: volume}, nil
}
