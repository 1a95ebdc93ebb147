package names

import (
	"context"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	"github.com/drystone-store/drystone/services/metadata/internal/head"
)

// GetBucket reads a bucket and the revision at which it was so. Errors: NO_SUCH_BUCKET, and the index's.
func (n *Names) GetBucket(ctx context.Context, name string) (bucket *metadatav1.BucketRow, revision int64, err error) {
	err = n.index.Read(ctx, func(v head.View) error {
		revision = v.Revision()
		bucket, err = mustGetBucket(v, name)
		return err
	})
	return bucket, revision, err
}

// mustGetBucket is getBucket with NO_SUCH_BUCKET for an absent one.
func mustGetBucket(v head.View, name string) (*metadatav1.BucketRow, error) {
	b, err := getBucket(v, name)
	if err == nil && b == nil {
		return nil, errNoSuchBucket(name)
	}
	return b, err
}
