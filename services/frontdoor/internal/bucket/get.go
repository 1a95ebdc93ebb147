package bucket

import (
	"context"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	"github.com/drystone-store/drystone/services/frontdoor/internal/auth"
)

// Get reads a bucket. Errors: NO_SUCH_BUCKET, ACCESS_DENIED.
func (s *Service) Get(ctx context.Context, name string) (*metadatav1.BucketRow, error) {
	row, err := s.names.Bucket(ctx, name, true)
	if err != nil {
		return nil, err
	}
	return row, auth.Owns(ctx, row.GetTenant())
}
