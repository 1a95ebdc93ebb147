package server

import (
	"context"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	"github.com/drystone-store/drystone/services/metadata/internal/names"
)

// ListVersions implements MetadataService.
func (s *Server) ListVersions(ctx context.Context, r *metadatav1.ListVersionsRequest) (*metadatav1.ListVersionsResponse, error) {
	if err := checkBucket(r.GetBucket()); err != nil {
		return nil, err
	}
	if err := checkText("prefix", r.GetPrefix()); err != nil {
		return nil, err
	}
	if err := checkText("delimiter", r.GetDelimiter()); err != nil {
		return nil, err
	}
	if err := checkText("start_after", r.GetStartAfter()); err != nil {
		return nil, err
	}
	if err := checkLimit(r.GetLimit()); err != nil {
		return nil, err
	}
	page, err := s.names.ListVersions(ctx, names.ListQuery{
		Bucket: r.GetBucket(), Prefix: r.GetPrefix(), Delimiter: r.GetDelimiter(),
		StartAfter: r.GetStartAfter(), Limit: int(r.GetLimit()),
	})
	if err != nil {
		return nil, err
	}
	return &metadatav1.ListVersionsResponse{
		Bucket: page.Bucket, Versions: page.Versions, Prefixes: page.Prefixes, Next: page.Next,
	}, nil
}
