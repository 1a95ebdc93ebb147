package server

import (
	"context"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
)

// DeleteBucket implements apiv1.BucketServiceServer.
func (s *buckets) DeleteBucket(ctx context.Context, req *apiv1.DeleteBucketRequest) (*apiv1.DeleteBucketResponse, error) {
	err := s.gates.Others(ctx, func() error { return s.buckets.Delete(ctx, req.GetBucket()) })
	if err != nil {
		return nil, err
	}
	return &apiv1.DeleteBucketResponse{}, nil
}
