package bucket

import (
	"context"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/frontdoor/internal/auth"
)

// Create makes a bucket with a scheme (`rs-k-m`; empty: the cluster's default). An own bucket that exists is returned
// as it is. Errors: those of api.v1.BucketService.CreateBucket.
func (s *Service) Create(ctx context.Context, name, scheme string) (*metadatav1.BucketRow, error) {
	if err := validateName(name); err != nil {
		return nil, err
	}
	wanted, err := s.choose(ctx, scheme)
	if err != nil {
		return nil, err
	}
	return s.names.CreateBucket(ctx, auth.Tenant(ctx), name, wanted.String())
}

func (s *Service) choose(ctx context.Context, scheme string) (erasure.Scheme, error) {
	if scheme == "" {
		return s.schemes.Default()
	}
	wanted, err := erasure.Parse(scheme)
	if err != nil {
		return erasure.Scheme{}, err
	}
	return wanted, s.schemes.Check(ctx, wanted)
}
