// Package server answers the public gRPC API: one file a verb. Handlers validate what the transport brings, call the
// domain and turn rows into messages; REST goes through them as well.
package server

import (
	"google.golang.org/grpc"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	"github.com/drystone-store/drystone/services/frontdoor/internal/bucket"
	"github.com/drystone-store/drystone/services/frontdoor/internal/cluster"
	"github.com/drystone-store/drystone/services/frontdoor/internal/object"
)

// Domain is what the handlers call.
type Domain struct {
	Buckets *bucket.Service
	Objects *object.Service
	Cluster *cluster.Service
	Gates   *object.Gates
	// Version of this front-door's build.
	Version string
}

// Register adds the three public services to a server.
func Register(r grpc.ServiceRegistrar, d Domain) {
	apiv1.RegisterBucketServiceServer(r, &buckets{buckets: d.Buckets, gates: d.Gates})
	apiv1.RegisterObjectServiceServer(r, &objects{objects: d.Objects})
	apiv1.RegisterClusterServiceServer(r, &clusters{cluster: d.Cluster, version: d.Version})
}

type buckets struct {
	apiv1.UnimplementedBucketServiceServer
	buckets *bucket.Service
	gates   *object.Gates
}

type objects struct {
	apiv1.UnimplementedObjectServiceServer
	objects *object.Service
}

type clusters struct {
	apiv1.UnimplementedClusterServiceServer
	cluster *cluster.Service
	version string
}
