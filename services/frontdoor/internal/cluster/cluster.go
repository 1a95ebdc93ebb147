// Package cluster tells what the cluster is and how it fares, from the topology that placement sends.
package cluster

import (
	"cmp"
	"context"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/datapath/nodes"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// retryAfter is what a caller is told who came before the topology: placement answers within a second or is down.
const retryAfter = time.Second

// Topology is the latest view of nodes and disks.
type Topology interface {
	Snapshot() *nodes.Snapshot
}

// Placement judges schemes.
type Placement interface {
	CheckScheme(
		ctx context.Context, in *placementv1.CheckSchemeRequest, opts ...grpc.CallOption,
	) (*placementv1.CheckSchemeResponse, error)
}

// Service answers for the cluster as a whole.
type Service struct {
	topology  Topology
	placement Placement
}

// New makes a Service.
func New(topology Topology, placement Placement) *Service {
	return &Service{topology: topology, placement: placement}
}

// Get returns the topology, its nodes ordered by zone, rack and name. Errors: UNAVAILABLE before the first one came.
func (s *Service) Get() (*placementv1.Topology, []*placementv1.Node, error) {
	t := s.topology.Snapshot().Proto()
	if t.GetClusterId() == "" {
		return nil, nil, unknownTopology()
	}
	byPlace := slices.Clone(t.GetNodes())
	slices.SortFunc(byPlace, func(a, b *placementv1.Node) int {
		p, q := a.GetPlace(), b.GetPlace()
		return cmp.Or(cmp.Compare(p.GetZone(), q.GetZone()), cmp.Compare(p.GetRack(), q.GetRack()),
			cmp.Compare(p.GetNode(), q.GetNode()))
	})
	return t, byPlace, nil
}

// Default is the scheme of buckets that ask for none. Errors: UNAVAILABLE before the first topology came.
func (s *Service) Default() (erasure.Scheme, error) {
	p := s.topology.Snapshot().DefaultScheme()
	if p == nil {
		return erasure.Scheme{}, unknownTopology()
	}
	return erasure.FromProto(p)
}

// Check refuses a scheme that the topology cannot keep. Errors: SCHEME_DOES_NOT_FIT.
func (s *Service) Check(ctx context.Context, scheme erasure.Scheme) error {
	_, err := s.placement.CheckScheme(ctx, &placementv1.CheckSchemeRequest{Scheme: scheme.Proto()})
	return err
}

func unknownTopology() error {
	return fault.New(codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE, "placement has not told the topology yet").
		WithRetryAfter(retryAfter)
}
