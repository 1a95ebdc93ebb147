package inmemory

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// Placement tells one topology for ever: a zone with nine disks, on which every scheme of at most nine columns fits.
type Placement struct {
	placementv1.UnimplementedPlacementServiceServer
}

const disks = 9

// WatchTopology implements placementv1.PlacementServiceServer.
func (p *Placement) WatchTopology(
	_ *placementv1.WatchTopologyRequest, stream grpc.ServerStreamingServer[placementv1.WatchTopologyResponse],
) error {
	if err := stream.Send(&placementv1.WatchTopologyResponse{Topology: p.topology()}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

func (p *Placement) topology() *placementv1.Topology {
	scheme := &typesv1.Scheme{K: 5, M: 4}
	return &placementv1.Topology{
		ClusterId: "in-memory", Version: 1, DefaultScheme: scheme, WriteScheme: scheme, Floor: "one zone and one disk",
		Nodes: []*placementv1.Node{{
			Place:   &typesv1.Place{Zone: "z1", Rack: "r1", Node: "n1"},
			Address: "127.0.0.1:1",
			State:   placementv1.NodeState_NODE_STATE_UP,
			Disks:   []*placementv1.Disk{{Id: "d1", State: placementv1.DiskState_DISK_STATE_OK, CapacityBytes: 1 << 30}},
		}},
		Volumes: &placementv1.VolumeCounts{Open: 1},
	}
}

// CheckScheme implements placementv1.PlacementServiceServer.
func (p *Placement) CheckScheme(
	_ context.Context, req *placementv1.CheckSchemeRequest,
) (*placementv1.CheckSchemeResponse, error) {
	if s := req.GetScheme(); s.GetK()+s.GetM() > disks {
		return nil, fault.New(codes.FailedPrecondition, typesv1.Reason_REASON_SCHEME_DOES_NOT_FIT,
			"%d columns on %d disks", s.GetK()+s.GetM(), disks)
	}
	return &placementv1.CheckSchemeResponse{Survives: "one zone and one disk"}, nil
}
