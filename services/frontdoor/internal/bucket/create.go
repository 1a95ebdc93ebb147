package bucket

import (
	"context"

	"google.golang.org/grpc/codes"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/frontdoor/internal/auth"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// Create makes a bucket with a scheme (`rs-k-m`; empty: the cluster's default). An own bucket that exists is returned
// as it is, unless it has another scheme than the one asked for: a bucket keeps its scheme.
// Errors: those of api.v1.BucketService.CreateBucket.
func (s *Service) Create(ctx context.Context, name, scheme string) (*metadatav1.BucketRow, error) {
	if err := validateName(name); err != nil {
		return nil, err
	}
	wanted, err := s.choose(ctx, scheme)
	if err != nil {
		return nil, err
	}
	row, err := s.names.CreateBucket(ctx, auth.Tenant(ctx), name, wanted.String())
	if err != nil {
		return nil, err
	}
	if scheme != "" && row.GetScheme() != wanted.String() {
		return nil, fault.New(codes.AlreadyExists, typesv1.Reason_REASON_BUCKET_ALREADY_EXISTS,
			"the bucket exists with %s; a bucket keeps its scheme, so ask for that, for none, or for another name", row.GetScheme())
	}
	return row, nil
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
