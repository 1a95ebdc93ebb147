package server

import (
	"context"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
)

// GetVersion implements MetadataService.
func (s *Server) GetVersion(ctx context.Context, r *metadatav1.GetVersionRequest) (*metadatav1.GetVersionResponse, error) {
	if err := checkBucket(r.GetBucket()); err != nil {
		return nil, err
	}
	if err := checkKey(r.GetKey()); err != nil {
		return nil, err
	}
	found, err := s.names.GetVersion(ctx, r.GetBucket(), r.GetKey(), r.GetVersion())
	if err != nil {
		return nil, err
	}
	return &metadatav1.GetVersionResponse{Bucket: found.Bucket, Row: found.Row, Revision: found.Revision}, nil
}
