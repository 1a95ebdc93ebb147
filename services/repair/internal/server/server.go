// Package server answers drystone.repair.v1. One file per verb.
package server

import (
	"context"
	"iter"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	repairv1 "github.com/drystone-store/drystone/proto/gen/drystone/repair/v1"
	"github.com/drystone-store/drystone/services/repair/internal/survey"
)

// Cluster is what repair knows of the cluster.
type Cluster interface {
	// Volumes walks the whole map. It ends after the first error.
	Volumes(ctx context.Context) iter.Seq2[*placementv1.Volume, error]
	// Disks is the topology as it is now. Errors: UNAVAILABLE before the first one came.
	Disks(ctx context.Context) (survey.Disks, error)
}

// Server implements repairv1.RepairServiceServer.
type Server struct {
	repairv1.UnimplementedRepairServiceServer
	cluster Cluster
}

// New makes a server.
func New(cluster Cluster) *Server { return &Server{cluster: cluster} }
