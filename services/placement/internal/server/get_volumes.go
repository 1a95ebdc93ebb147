package server

import (
	"context"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
)

// GetVolumes reads map entries.
func (p *Placement) GetVolumes(
	ctx context.Context, req *placementv1.GetVolumesRequest,
) (*placementv1.GetVolumesResponse, error) {
	if len(req.GetIds()) > maxIDs {
		return nil, invalid("ids: at most %d", maxIDs)
	}
	volumes, err := p.state.Volumes(ctx, req.GetIds(), req.GetFresh())
	if err != nil {
		return nil, err
	}
	return &placementv1.GetVolumesResponse{Volumes: volumes}, nil
}
