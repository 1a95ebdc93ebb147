package server

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/rpc"
)

// WatchTopology sends each picture of the topology; a slow watcher misses those in between.
func (p *Placement) WatchTopology(
	_ *placementv1.WatchTopologyRequest, stream grpc.ServerStreamingServer[placementv1.WatchTopologyResponse],
) error {
	for {
		latest, next := p.topology.Latest()
		if latest != nil {
			// A copy: in process the watcher gets the message itself.
			if err := stream.Send(&placementv1.WatchTopologyResponse{Topology: proto.CloneOf(latest)}); err != nil {
				return err
			}
		}
		select {
		case <-next:
		case <-stream.Context().Done():
			return fault.FromContext(stream.Context().Err())
		case <-rpc.Draining(stream.Context()):
			return fault.New(codes.Unavailable, typesv1.Reason_REASON_SHUTTING_DOWN, "placement stops")
		}
	}
}
