package server

import (
	"context"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
)

// RaiseFloor implements MetadataService.
func (s *Server) RaiseFloor(ctx context.Context, r *metadatav1.RaiseFloorRequest) (*metadatav1.RaiseFloorResponse, error) {
	if err := checkName("writer", r.GetWriter()); err != nil {
		return nil, err
	}
	floor, err := s.names.RaiseFloor(ctx, r.GetWriter(), r.GetFloor())
	if err != nil {
		return nil, err
	}
	return &metadatav1.RaiseFloorResponse{Floor: floor}, nil
}
