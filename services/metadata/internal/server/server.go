// Package server is drystone.metadata.v1 over package names: one file an RPC. Requests are checked here, once.
package server

import (
	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	"github.com/drystone-store/drystone/services/metadata/internal/names"
)

// Server implements metadatav1.MetadataServiceServer.
type Server struct {
	metadatav1.UnimplementedMetadataServiceServer
	names *names.Names
}

// New makes a Server.
func New(n *names.Names) *Server { return &Server{names: n} }
