package server

import (
	"context"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
)

// CreateBucket implements MetadataService.
func (s *Server) CreateBucket(ctx context.Context, r *metadatav1.CreateBucketRequest) (*metadatav1.CreateBucketResponse, error) {
	if err := checkBucket(r.GetName()); err != nil {
		return nil, err
	}
	if err := checkName("tenant", r.GetTenant()); err != nil {
		return nil, err
	}
	if err := checkName("scheme", r.GetScheme()); err != nil {
		return nil, err
	}
	b, err := s.names.CreateBucket(ctx, r.GetTenant(), r.GetName(), r.GetScheme())
	if err != nil {
		return nil, err
	}
	return &metadatav1.CreateBucketResponse{Bucket: b}, nil
}
