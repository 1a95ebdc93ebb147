package server

import (
	"context"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	"github.com/drystone-store/drystone/services/frontdoor/internal/object"
)

// ListBuckets implements apiv1.BucketServiceServer.
func (s *buckets) ListBuckets(ctx context.Context, req *apiv1.ListBucketsRequest) (*apiv1.ListBucketsResponse, error) {
	limit, err := object.PageSize(req.GetPageSize())
	if err != nil {
		return nil, err
	}
	var rows []*metadatav1.BucketRow
	var next string
	err = s.gates.Others(ctx, func() (err error) {
		rows, next, err = s.buckets.List(ctx, limit, req.GetPageToken())
		return err
	})
	if err != nil {
		return nil, err
	}
	resp := &apiv1.ListBucketsResponse{Buckets: make([]*apiv1.Bucket, len(rows)), NextPageToken: next}
	for i, row := range rows {
		resp.Buckets[i] = toBucket(row)
	}
	return resp, nil
}
