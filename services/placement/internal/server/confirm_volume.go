package server

import (
	"context"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
)

// ConfirmVolume opens a volume whose chunks exist.
func (p *Placement) ConfirmVolume(
	ctx context.Context, req *placementv1.ConfirmVolumeRequest,
) (*placementv1.ConfirmVolumeResponse, error) {
	volume, err := p.state.ConfirmVolume(ctx, req.GetVolume(), req.GetRevision())
	if err != nil {
		return nil, err
	}
	return &placementv1.ConfirmVolumeResponse{Volume: volume}, nil
}
