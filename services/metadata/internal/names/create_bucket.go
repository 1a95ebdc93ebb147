package names

import (
	"context"
	"math/rand/v2"

	"google.golang.org/grpc/codes"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/metadata/internal/head"
)

// CreateBucket makes a bucket, or returns the tenant's own one of that name. Errors: ACCESS_DENIED,
// BUCKET_CLOSING, and the index's.
func (n *Names) CreateBucket(ctx context.Context, tenant, name, scheme string) (*metadatav1.BucketRow, error) {
	var bucket *metadatav1.BucketRow
	err := n.whenDecided(ctx, name, func() error {
		fresh := &metadatav1.BucketRow{
			Name: name, Id: rand.Uint64(), Tenant: tenant, Scheme: scheme, CreatedMs: n.now().UnixMilli(),
			State: metadatav1.BucketState_BUCKET_STATE_OPEN,
		}
		return n.commitOne(ctx, head.Write{Key: head.BucketKey(name), ID: newWriteID(), Plan: func(v head.View) (head.Plan, error) {
			bucket = fresh
			existing, err := getBucket(v, name)
			if err != nil {
				return head.Plan{}, err
			}
			if existing != nil {
				bucket = existing
				return head.Plan{}, mayAdopt(existing, tenant)
			}
			return planBucket(v, fresh)
		}})
	})
	if err != nil {
		return nil, err
	}
	return bucket, nil
}

// mayAdopt says whether an existing bucket answers a tenant's CreateBucket.
func mayAdopt(b *metadatav1.BucketRow, tenant string) error {
	switch {
	case b.GetTenant() != tenant:
		return fault.New(codes.PermissionDenied, typesv1.Reason_REASON_ACCESS_DENIED,
			"bucket %q belongs to somebody else", b.GetName())
	case b.GetState() == metadatav1.BucketState_BUCKET_STATE_CLOSING:
		return errClosing(b.GetName())
	default:
		return nil
	}
}

// planBucket puts a new bucket, takes its id and lists it under its tenant.
func planBucket(v head.View, b *metadatav1.BucketRow) (head.Plan, error) {
	for {
		if _, taken := v.Get(head.BucketIDKey(b.GetId())); !taken && b.GetId() != 0 {
			break
		}
		b.Id = rand.Uint64()
	}
	payload, err := encode(b)
	if err != nil {
		return head.Plan{}, err
	}
	return head.Plan{Puts: []head.Put{
		{Key: head.BucketKey(b.GetName()), Payload: payload},
		{Key: head.BucketIDKey(b.GetId()), Payload: []byte(b.GetName())},
		{Key: head.TenantKey(b.GetTenant(), b.GetName())},
	}}, nil
}

// commitOne commits one write.
func (n *Names) commitOne(ctx context.Context, w head.Write) error {
	return n.index.Commit(ctx, []head.Write{w})[0].Err
}
