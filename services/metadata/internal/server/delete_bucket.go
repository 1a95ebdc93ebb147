package server

import (
	"context"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
)

// DeleteBucket implements MetadataService.
func (s *Server) DeleteBucket(ctx context.Context, r *metadatav1.DeleteBucketRequest) (*metadatav1.DeleteBucketResponse, error) {
	if err := checkBucket(r.GetName()); err != nil {
		return nil, err
	}
	if err := checkName("tenant", r.GetTenant()); err != nil {
		return nil, err
	}
	if err := s.names.DeleteBucket(ctx, r.GetTenant(), r.GetName()); err != nil {
		return nil, err
	}
	return &metadatav1.DeleteBucketResponse{}, nil
}
