package server

import (
	"time"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	"github.com/drystone-store/drystone/services/placement/internal/membership"
	"github.com/drystone-store/drystone/services/placement/internal/state"
)

// Membership is MembershipService.
type Membership struct {
	placementv1.UnimplementedMembershipServiceServer

	state      *state.Store
	membership *membership.Tracker
	// heartbeat is how often nodes shall tell that they are alive.
	heartbeat time.Duration
}

// NewMembership makes a MembershipService.
func NewMembership(s *state.Store, m *membership.Tracker, heartbeat time.Duration) *Membership {
	return &Membership{state: s, membership: m, heartbeat: heartbeat}
}
