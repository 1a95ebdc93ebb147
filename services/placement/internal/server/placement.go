// Package server answers placement's RPCs, one file for each. It checks what came, asks the domain, and shapes the
// answer; what an RPC promises stands in its proto.
package server

import (
	"time"

	"google.golang.org/grpc/codes"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/placement/internal/membership"
	"github.com/drystone-store/drystone/services/placement/internal/policy"
	"github.com/drystone-store/drystone/services/placement/internal/state"
	"github.com/drystone-store/drystone/services/placement/internal/topology"
)

const (
	// maxWriter bounds a writer's name, which is in its term's key and in each of its volumes.
	maxWriter = 256
	// maxIDs bounds what one request asks for or names.
	maxIDs = 1000
	// retryAfter is when a caller may try again for whom there were not enough disks: nodes that restart are back in
	// seconds, and until then every try costs a little only.
	retryAfter = 2 * time.Second
)

// Placement is PlacementService.
type Placement struct {
	placementv1.UnimplementedPlacementServiceServer

	state      *state.Store
	membership *membership.Tracker
	topology   *topology.Publisher
	policy     policy.Policy
	metrics    *Metrics
}

// NewPlacement makes a PlacementService.
func NewPlacement(
	s *state.Store, m *membership.Tracker, t *topology.Publisher, p policy.Policy, metrics *Metrics,
) *Placement {
	return &Placement{state: s, membership: m, topology: t, policy: p, metrics: metrics}
}

func checkWriter(writer string) error {
	if writer == "" || len(writer) > maxWriter {
		return invalid("writer: it is needed and has at most %d bytes", maxWriter)
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fault.New(codes.InvalidArgument, typesv1.Reason_REASON_INVALID_ARGUMENT, format, args...)
}
