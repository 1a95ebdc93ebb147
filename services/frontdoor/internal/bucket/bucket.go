// Package bucket is the front-door's domain of buckets: it makes, reads, lists and removes them.
package bucket

import (
	"context"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
)

// Names is the metadata service as this package uses it.
type Names interface {
	// Bucket returns a bucket's row. Errors: NO_SUCH_BUCKET.
	Bucket(ctx context.Context, name string, fresh bool) (*metadatav1.BucketRow, error)
	// CreateBucket makes a bucket, or returns the tenant's own one. Errors: ACCESS_DENIED, BUCKET_CLOSING.
	CreateBucket(ctx context.Context, tenant, name, scheme string) (*metadatav1.BucketRow, error)
	// DeleteBucket removes an empty bucket; an absent one is a success. Errors: BUCKET_NOT_EMPTY, ACCESS_DENIED.
	DeleteBucket(ctx context.Context, tenant, name string) error
	// ListBuckets returns a tenant's buckets strictly after a name.
	ListBuckets(ctx context.Context, tenant, after string, limit int32) (rows []*metadatav1.BucketRow, more bool, err error)
}

// Schemes judges schemes against the topology.
type Schemes interface {
	// Default is the scheme of buckets that ask for none. Errors: UNAVAILABLE before the topology is known.
	Default() (erasure.Scheme, error)
	// Check refuses a scheme that the topology cannot keep. Errors: SCHEME_DOES_NOT_FIT.
	Check(ctx context.Context, s erasure.Scheme) error
}

// Service makes, reads, lists and removes buckets.
type Service struct {
	names   Names
	schemes Schemes
}

// New makes a Service.
func New(names Names, schemes Schemes) *Service { return &Service{names: names, schemes: schemes} }
