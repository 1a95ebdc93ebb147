package bucket

import (
	"context"

	"github.com/drystone-store/drystone/services/frontdoor/internal/auth"
)

// Delete removes an empty bucket; one that is absent is gone already. Errors: BUCKET_NOT_EMPTY, ACCESS_DENIED.
func (s *Service) Delete(ctx context.Context, name string) error {
	return s.names.DeleteBucket(ctx, auth.Tenant(ctx), name)
}
