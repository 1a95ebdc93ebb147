package names

import (
	"context"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/metadata/internal/head"
)

// ListBuckets lists up to limit buckets of a tenant by name, after startAfter, and says whether there are more.
func (n *Names) ListBuckets(ctx context.Context, tenant, startAfter string, limit int) (buckets []*metadatav1.BucketRow, more bool, err error) {
	from, to := head.TenantRange(tenant)
	err = n.index.Read(ctx, func(v head.View) error {
		var bad error
		v.Scan(from+startAfter, to, func(r head.Row) (string, bool) {
			name := r.Key[len(from):]
			switch {
			case name == startAfter:
				return "", false
			case len(buckets) == limit:
				more = true
				return "", true
			}
			b, err := getBucket(v, name)
			if err == nil && b == nil {
				err = fault.Bug("bucket %q is listed and has no row", name)
			}
			bad = err
			buckets = append(buckets, b)
			return "", bad != nil
		})
		return bad
	})
	if err != nil {
		return nil, false, err
	}
	return buckets, more, nil
}
