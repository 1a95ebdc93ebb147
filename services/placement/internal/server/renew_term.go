package server

import (
	"context"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
)

// RenewTerm keeps a writer's lease.
func (p *Placement) RenewTerm(
	ctx context.Context, req *placementv1.RenewTermRequest,
) (*placementv1.RenewTermResponse, error) {
	lease, err := p.state.RenewTerm(ctx, req.GetWriter(), req.GetTerm())
	if err != nil {
		return nil, err
	}
	return &placementv1.RenewTermResponse{LeaseMs: lease.Milliseconds()}, nil
}
