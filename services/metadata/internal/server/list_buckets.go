package server

import (
	"context"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
)

// ListBuckets implements MetadataService.
func (s *Server) ListBuckets(ctx context.Context, r *metadatav1.ListBucketsRequest) (*metadatav1.ListBucketsResponse, error) {
	if err := checkName("tenant", r.GetTenant()); err != nil {
		return nil, err
	}
	if err := checkText("start_after", r.GetStartAfter()); err != nil {
		return nil, err
	}
	if err := checkLimit(r.GetLimit()); err != nil {
		return nil, err
	}
	buckets, more, err := s.names.ListBuckets(ctx, r.GetTenant(), r.GetStartAfter(), int(r.GetLimit()))
	if err != nil {
		return nil, err
	}
	return &metadatav1.ListBucketsResponse{Buckets: buckets, More: more}, nil
}
