package server

import (
	"context"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
)

// GetCluster tells a node which cluster this is.
func (m *Membership) GetCluster(
	context.Context, *placementv1.GetClusterRequest,
) (*placementv1.GetClusterResponse, error) {
	id, err := m.state.Cluster()
	if err != nil {
		return nil, err
	}
	return &placementv1.GetClusterResponse{ClusterId: id}, nil
}
