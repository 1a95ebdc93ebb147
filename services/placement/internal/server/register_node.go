package server

import (
	"context"

	"google.golang.org/grpc/codes"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// RegisterNode enters or refreshes a node.
func (m *Membership) RegisterNode(
	ctx context.Context, req *placementv1.RegisterNodeRequest,
) (*placementv1.RegisterNodeResponse, error) {
	id, err := m.state.Cluster()
	if err != nil {
		return nil, err
	}
	if req.GetClusterId() != "" && req.GetClusterId() != id {
		return nil, fault.New(codes.FailedPrecondition, typesv1.Reason_REASON_CLUSTER_MISMATCH,
			"node %s belongs to cluster %s, this is %s", req.GetNode().GetPlace().GetNode(), req.GetClusterId(), id)
	}
	if err := m.membership.RegisterNode(ctx, req.GetNode()); err != nil {
		return nil, err
	}
	return &placementv1.RegisterNodeResponse{ClusterId: id, HeartbeatMs: m.heartbeat.Milliseconds()}, nil
}
