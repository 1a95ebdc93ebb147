package server

import (
	"context"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
)

// CreateBucket implements apiv1.BucketServiceServer.
func (s *buckets) CreateBucket(ctx context.Context, req *apiv1.CreateBucketRequest) (*apiv1.CreateBucketResponse, error) {
	var row *metadatav1.BucketRow
	err := s.gates.Others(ctx, func() (err error) {
		row, err = s.buckets.Create(ctx, req.GetBucket(), req.GetScheme())
		return err
	})
	if err != nil {
		return nil, err
	}
	return &apiv1.CreateBucketResponse{Bucket: toBucket(row)}, nil
}
