package server

import (
	"context"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
)

// Heartbeat notes that a node is alive.
func (m *Membership) Heartbeat(
	_ context.Context, req *placementv1.HeartbeatRequest,
) (*placementv1.HeartbeatResponse, error) {
	if err := m.state.Ready(); err != nil {
		return nil, err
	}
	if err := m.membership.Heartbeat(req.GetNode(), req.GetRun(), req.GetDisks()); err != nil {
		return nil, err
	}
	return &placementv1.HeartbeatResponse{}, nil
}
