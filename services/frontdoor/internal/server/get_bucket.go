package server

import (
	"context"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
)

// GetBucket implements apiv1.BucketServiceServer.
func (s *buckets) GetBucket(ctx context.Context, req *apiv1.GetBucketRequest) (*apiv1.GetBucketResponse, error) {
	var row *metadatav1.BucketRow
	err := s.gates.Others(ctx, func() (err error) {
		row, err = s.buckets.Get(ctx, req.GetBucket())
		return err
	})
	if err != nil {
		return nil, err
	}
	return &apiv1.GetBucketResponse{Bucket: toBucket(row)}, nil
}
