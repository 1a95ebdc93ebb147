package object

import (
	"context"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/frontdoor/internal/auth"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// Delete removes an object; one that is absent is gone already. Errors: those of api.v1.ObjectService.DeleteObject.
func (s *Service) Delete(ctx context.Context, req *apiv1.DeleteObjectRequest) error {
	if err := validateKey(req.GetKey()); err != nil {
		return err
	}
	cond, err := parseConditions(req.GetPreconditions())
	if err != nil {
		return err
	}
	if cond.never() {
		return preconditionFailed(Object{})
	}
	if err := s.gates.others.enter(ctx); err != nil {
		return err
	}
	defer s.gates.others.leave()
	bucket, err := s.authorized(ctx, req.GetBucket(), false)
	if err != nil {
		return err
	}
	err = s.deleteIn(ctx, bucket, req.GetKey(), cond)
	if !fault.Is(err, typesv1.Reason_REASON_NO_SUCH_BUCKET) {
		return err
	}
	// The cached row may be of a bucket that was made anew since.
	again, lookup := s.authorized(ctx, req.GetBucket(), true)
	if lookup != nil {
		return lookup
	}
	if again.GetId() == bucket.GetId() {
		return err
	}
	return s.deleteIn(ctx, again, req.GetKey(), cond)
}

func (s *Service) deleteIn(ctx context.Context, bucket *metadatav1.BucketRow, key string, cond conditions) error {
	writeID, err := mintWriteID()
	if err != nil {
		return err
	}
	_, err = s.names.Commit(ctx, &metadatav1.Mutation{
		BucketId: bucket.GetId(),
		Bucket:   bucket.GetName(),
		Key:      key,
		Row: &metadatav1.VersionRow{
			WriteId: writeID, DeleteMarker: true, Tenant: auth.Tenant(ctx), BucketId: bucket.GetId(),
		},
		Condition: cond.commit(),
	})
	return err
}
