package names

import (
	"context"
	"sync"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/fault"
)

const (
	// bucketTTL is how long a row is believed: the longest that a write meets a bucket which was made anew with
	// another scheme, and has to be packed twice.
	bucketTTL = 5 * time.Second
	// maxBuckets bounds the cache; a row takes about 200 bytes.
	maxBuckets = 10_000
	// maxName of a bucket in bytes: S3's bound, which holds when one is made.
	maxName = 63
)

// Bucket returns a bucket's row, a few seconds old unless fresh. Errors: NO_SUCH_BUCKET.
func (c *Client) Bucket(ctx context.Context, name string, fresh bool) (*metadatav1.BucketRow, error) {
	if !canExist(name) {
		return nil, fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_BUCKET, "there is no bucket of this name")
	}
	if !fresh {
		if row := c.buckets.get(name); row != nil {
			return row, nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	resp, err := c.rpc.GetBucket(ctx, &metadatav1.GetBucketRequest{Name: name})
	if err != nil {
		c.buckets.drop(name)
		return nil, err
	}
	c.learn(resp.GetRevision())
	c.buckets.put(name, resp.GetBucket())
	return resp.GetBucket(), nil
}

// CreateBucket makes a bucket, or returns the tenant's own one of that name. Errors: ACCESS_DENIED,
// BUCKET_CLOSING.
func (c *Client) CreateBucket(ctx context.Context, tenant, name, scheme string) (*metadatav1.BucketRow, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	resp, err := c.rpc.CreateBucket(ctx, &metadatav1.CreateBucketRequest{Tenant: tenant, Name: name, Scheme: scheme})
	if err != nil {
		return nil, err
	}
	c.buckets.put(name, resp.GetBucket())
	return resp.GetBucket(), nil
}

// DeleteBucket removes an empty bucket; an absent one is a success. Errors: BUCKET_NOT_EMPTY, ACCESS_DENIED.
func (c *Client) DeleteBucket(ctx context.Context, tenant, name string) error {
	if !canExist(name) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := c.rpc.DeleteBucket(ctx, &metadatav1.DeleteBucketRequest{Tenant: tenant, Name: name})
	c.buckets.drop(name)
	return err
}

// ListBuckets returns at most limit of a tenant's buckets, strictly after a name, and whether there are more.
func (c *Client) ListBuckets(
	ctx context.Context, tenant, after string, limit int32,
) (rows []*metadatav1.BucketRow, more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	resp, err := c.rpc.ListBuckets(ctx, &metadatav1.ListBucketsRequest{Tenant: tenant, StartAfter: after, Limit: limit})
	if err != nil {
		return nil, false, err
	}
	return resp.GetBuckets(), resp.GetMore(), nil
}

// canExist keeps names from the service that no bucket has and that not every transport carries: megabytes, or bytes
// that are not UTF-8.
func canExist(name string) bool {
	return name != "" && len(name) <= maxName && utf8.ValidString(name)
}

// bucketCache remembers rows for moments.
type bucketCache struct {
	mu   sync.RWMutex
	rows map[string]cachedBucket
}

type cachedBucket struct {
	row  *metadatav1.BucketRow
	read time.Time
}

func newBucketCache() *bucketCache { return &bucketCache{rows: make(map[string]cachedBucket)} }

func (c *bucketCache) get(name string) *metadatav1.BucketRow {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if b, ok := c.rows[name]; ok && clock.Since(b.read) < bucketTTL {
		return b.row
	}
	return nil
}

func (c *bucketCache) put(name string, row *metadatav1.BucketRow) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.rows) >= maxBuckets {
		clear(c.rows) // Rare, and a row costs one small read.
	}
	c.rows[name] = cachedBucket{row: row, read: clock.Now()}
}

func (c *bucketCache) drop(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.rows, name)
}
