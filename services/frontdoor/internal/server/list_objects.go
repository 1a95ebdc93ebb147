package server

import (
	"context"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
)

// ListObjects implements apiv1.ObjectServiceServer.
func (s *objects) ListObjects(ctx context.Context, req *apiv1.ListObjectsRequest) (*apiv1.ListObjectsResponse, error) {
	page, err := s.objects.List(ctx, req)
	if err != nil {
		return nil, err
	}
	return &apiv1.ListObjectsResponse{
		Objects:       toListed(page.Versions, req.GetIncludeMetadata()),
		Prefixes:      page.Prefixes,
		NextPageToken: page.Next,
	}, nil
}
