package server

import (
	"context"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/placement/internal/policy"
)

// CheckScheme judges a scheme by the registered disks.
func (p *Placement) CheckScheme(
	_ context.Context, req *placementv1.CheckSchemeRequest,
) (*placementv1.CheckSchemeResponse, error) {
	scheme, err := erasure.FromProto(req.GetScheme())
	if err != nil {
		return nil, err
	}
	if err := p.state.Ready(); err != nil {
		return nil, err
	}
	disks, _ := p.topology.Snapshot()
	promise, err := policy.Outlives(scheme, disks.Registered())
	if err != nil {
		return nil, err
	}
	return &placementv1.CheckSchemeResponse{Survives: promise.String()}, nil
}
