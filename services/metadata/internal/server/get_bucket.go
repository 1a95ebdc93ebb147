package server

import (
	"context"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
)

// GetBucket implements MetadataService.
func (s *Server) GetBucket(ctx context.Context, r *metadatav1.GetBucketRequest) (*metadatav1.GetBucketResponse, error) {
	if err := checkBucket(r.GetName()); err != nil {
		return nil, err
	}
	b, revision, err := s.names.GetBucket(ctx, r.GetName())
	if err != nil {
		return nil, err
	}
	return &metadatav1.GetBucketResponse{Bucket: b, Revision: revision}, nil
}
