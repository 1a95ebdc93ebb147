package server

import (
	"context"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
)

// DeleteObject implements apiv1.ObjectServiceServer.
func (s *objects) DeleteObject(ctx context.Context, req *apiv1.DeleteObjectRequest) (*apiv1.DeleteObjectResponse, error) {
	if err := s.objects.Delete(ctx, req); err != nil {
		return nil, err
	}
	return &apiv1.DeleteObjectResponse{}, nil
}
