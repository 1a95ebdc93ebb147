package server

import (
	"context"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
)

// StatObject implements apiv1.ObjectServiceServer.
func (s *objects) StatObject(ctx context.Context, req *apiv1.StatObjectRequest) (*apiv1.StatObjectResponse, error) {
	o, err := s.objects.Stat(ctx, req)
	if err != nil {
		return nil, err
	}
	return &apiv1.StatObjectResponse{Object: toObject(o)}, nil
}
