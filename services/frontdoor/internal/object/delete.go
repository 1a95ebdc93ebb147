package object

import (
	"context"
	"math"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/frontdoor/internal/auth"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// Delete removes an object; one that is absent is gone already. A version other than the current one is absent.
// Errors: those of api.v1.ObjectService.DeleteObject.
func (s *Service) Delete(ctx context.Context, req *apiv1.DeleteObjectRequest) error {
	if err := validateKey(req.GetKey()); err != nil {
		return err
	}
	cond, err := parseConditions(req.GetPreconditions())
	if err != nil {
		return err
	}
	version, err := parseVersionID(req.GetVersionId())
	switch {
	case fault.Is(err, typesv1.Reason_REASON_NO_SUCH_VERSION):
		version = neverMinted
	case err != nil:
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
	if version != 0 {
		return s.deleteVersion(ctx, req, version, cond)
	}
	err = s.deleteIn(ctx, bucket, req.GetKey(), cond.commit())
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
	return s.deleteIn(ctx, again, req.GetKey(), cond.commit())
}

// neverMinted is a version that no object has: the all-zero one, which a row cannot tell from none.
const neverMinted = math.MaxUint64

// deleteVersion removes a version if it is the current one; whether it still is, the commit decides by its ETag, which
// holds the version. Preconditions are about the current version, whatever version is asked for.
func (s *Service) deleteVersion(
	ctx context.Context, req *apiv1.DeleteObjectRequest, version uint64, cond conditions,
) error {
	resp, err := s.names.Version(ctx, req.GetBucket(), req.GetKey(), 0)
	if fault.Is(err, typesv1.Reason_REASON_NO_SUCH_KEY) {
		return cond.checkWrite(Object{}, false)
	}
	if err != nil {
		return err
	}
	if err := auth.Owns(ctx, resp.GetBucket().GetTenant()); err != nil {
		return err
	}
	current := Object{Key: req.GetKey(), Row: resp.GetRow()}
	if err := cond.checkWrite(current, true); err != nil {
		return err
	}
	if current.Row.GetVersion() != version {
		return nil
	}
	err = s.deleteIn(ctx, resp.GetBucket(), req.GetKey(), &metadatav1.Condition{IfMatch: []string{current.ETag()}})
	if fault.Is(err, typesv1.Reason_REASON_PRECONDITION_FAILED) && !cond.writes() {
		return nil // Somebody was faster: the version is gone.
	}
	return err
}

func (s *Service) deleteIn(
	ctx context.Context, bucket *metadatav1.BucketRow, key string, cond *metadatav1.Condition,
) error {
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
		Condition: cond,
	})
	return err
}
