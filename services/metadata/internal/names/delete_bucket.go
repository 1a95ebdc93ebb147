package names

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/metadata/internal/head"
)

// decideTimeout bounds the decision over a closed bucket, an election of etcd included; less than closingPatience.
const decideTimeout = 5 * time.Second

// closed is a bucket that this call has closed, at the revision of its row.
type closed struct {
	bucket *metadatav1.BucketRow
	rev    int64
}

// DeleteBucket removes an empty bucket; an absent one is a success. Errors: BUCKET_NOT_EMPTY, ACCESS_DENIED,
// BUCKET_CLOSING, and the index's. A call that dies in between leaves a closing bucket (constraint 4).
func (n *Names) DeleteBucket(ctx context.Context, tenant, name string) error {
	return n.whenDecided(ctx, name, func() error {
		if err := n.refuseFull(ctx, tenant, name); err != nil {
			return err
		}
		c, err := n.closeBucket(ctx, tenant, name)
		if err != nil || c == nil {
			return err
		}
		// From here on writers are kept out: decide, also if the caller has left.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), decideTimeout)
		defer cancel()
		return n.decide(ctx, c)
	})
}

// decide removes a closed bucket, or reopens it if something lives in it.
func (n *Names) decide(ctx context.Context, c *closed) error {
	empty, err := n.isEmpty(ctx, c)
	if err != nil {
		return err
	}
	if empty {
		return n.removeBucket(ctx, c)
	}
	if err := n.reopenBucket(ctx, c); err != nil {
		return err
	}
	return errNotEmpty(c.bucket.GetName())
}

// refuseFull spares the bucket's writers the closing if there obviously is something in it.
func (n *Names) refuseFull(ctx context.Context, tenant, name string) error {
	return n.index.Read(ctx, func(v head.View) error {
		b, err := getBucket(v, name)
		if err != nil || b == nil {
			return err
		}
		if err := mayDelete(b, tenant); err != nil {
			return err
		}
		if b.GetState() == metadatav1.BucketState_BUCKET_STATE_OPEN && lives(v, b.GetId()) {
			return errNotEmpty(name)
		}
		return nil
	})
}

// closeBucket closes an open bucket, or one whose decider is gone. Nil without an error: there is no such bucket.
func (n *Names) closeBucket(ctx context.Context, tenant, name string) (*closed, error) {
	var c *closed
	result := n.index.Commit(ctx, []head.Write{{Key: head.BucketKey(name), ID: newWriteID(), Plan: func(v head.View) (head.Plan, error) {
		c = nil
		b, err := getBucket(v, name)
		if err != nil || b == nil {
			return head.Plan{}, err
		}
		if err := mayDelete(b, tenant); err != nil {
			return head.Plan{}, err
		}
		if b.GetState() == metadatav1.BucketState_BUCKET_STATE_CLOSING && !n.stale(b) {
			return head.Plan{}, errClosing(name)
		}
		c = &closed{bucket: b}
		return planState(b, metadatav1.BucketState_BUCKET_STATE_CLOSING, n.now().UnixMilli())
	}}})[0]
	if result.Err != nil {
		return nil, result.Err
	}
	if c != nil {
		c.rev = result.Revision
	}
	return c, nil
}

// isEmpty says whether nothing lives in the bucket. The answer is final while the bucket's row keeps its revision: no
// commit planned on an earlier row can apply any more, and none is planned on a closing one.
func (n *Names) isEmpty(ctx context.Context, c *closed) (bool, error) {
	empty := false
	err := n.index.Read(ctx, func(v head.View) error {
		if row, ok := v.Get(head.BucketKey(c.bucket.GetName())); !ok || row.Mod != c.rev {
			return errClosing(c.bucket.GetName()) // somebody lost patience with this call
		}
		empty = !lives(v, c.bucket.GetId())
		return nil
	})
	return empty, err
}

// removeBucket removes the rows of a bucket as it was closed.
func (n *Names) removeBucket(ctx context.Context, c *closed) error {
	key := head.BucketKey(c.bucket.GetName())
	return n.commitOne(ctx, head.Write{Key: key, ID: newWriteID(), Plan: func(v head.View) (head.Plan, error) {
		row, ok := v.Get(key)
		if !ok {
			return head.Plan{}, nil // an earlier try of this write did it
		}
		if row.Mod == c.rev {
			return head.Plan{Drops: []string{key, head.TenantKey(c.bucket.GetTenant(), c.bucket.GetName())}}, nil
		}
		b, err := decodeBucket(row)
		if err != nil {
			return head.Plan{}, err
		}
		if b.GetId() != c.bucket.GetId() {
			return head.Plan{}, nil // it did, and somebody made another bucket since
		}
		return head.Plan{}, errClosing(b.GetName())
	}})
}

// reopenBucket opens a bucket again as it was closed; if somebody else did, that is as good.
func (n *Names) reopenBucket(ctx context.Context, c *closed) error {
	key := head.BucketKey(c.bucket.GetName())
	return n.commitOne(ctx, head.Write{Key: key, ID: newWriteID(), Plan: func(v head.View) (head.Plan, error) {
		row, ok := v.Get(key)
		if !ok || row.Mod != c.rev {
			return head.Plan{}, nil
		}
		b, err := decodeBucket(row)
		if err != nil {
			return head.Plan{}, err
		}
		return planState(b, metadatav1.BucketState_BUCKET_STATE_OPEN, 0)
	}})
}

func mayDelete(b *metadatav1.BucketRow, tenant string) error {
	if b.GetTenant() != tenant {
		return fault.New(codes.PermissionDenied, typesv1.Reason_REASON_ACCESS_DENIED,
			"bucket %q belongs to somebody else", b.GetName())
	}
	return nil
}

// lives says whether a bucket holds any live row.
func lives(v head.View, id uint64) bool {
	found := false
	from, to := head.VersionRange(id)
	v.Scan(from, to, func(head.Row) (string, bool) {
		found = true
		return "", true
	})
	return found
}

func errNotEmpty(name string) error {
	return fault.New(codes.FailedPrecondition, typesv1.Reason_REASON_BUCKET_NOT_EMPTY, "bucket %q is not empty", name)
}
