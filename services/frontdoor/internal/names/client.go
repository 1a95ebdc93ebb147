package names

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// Client speaks to the metadata service. Run must be running for Commit to answer.
type Client struct {
	rpc     metadatav1.MetadataServiceClient
	buckets *bucketCache
	commits *committer
	// seen is the highest revision of the head that any answer told of: what a commit's `since` may be.
	seen atomic.Int64
}

// New makes a client. metrics may be nil. Errors: metrics that exist already.
func New(rpc metadatav1.MetadataServiceClient, log *slog.Logger, metrics prometheus.Registerer) (*Client, error) {
	commits, err := newCommitter(rpc, log, metrics)
	if err != nil {
		return nil, err
	}
	return &Client{rpc: rpc, buckets: newBucketCache(), commits: commits}, nil
}

// Run sends commits until ctx ends; those that wait then are refused.
func (c *Client) Run(ctx context.Context) error { return c.commits.run(ctx) }

// Ping asks for a bucket, behind a read barrier as all reads are; there need not be one of that name.
func (c *Client) Ping(ctx context.Context) error {
	_, err := c.rpc.GetBucket(ctx, &metadatav1.GetBucketRequest{Name: "ping"})
	if fault.Is(err, typesv1.Reason_REASON_NO_SUCH_BUCKET) {
		return nil
	}
	return err
}

func (c *Client) learn(revision int64) {
	for {
		old := c.seen.Load()
		if revision <= old || c.seen.CompareAndSwap(old, revision) {
			return
		}
	}
}
