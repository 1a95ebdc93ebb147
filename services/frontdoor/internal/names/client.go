package names

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
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

// Ping asks a replica for something small behind a read barrier.
func (c *Client) Ping(ctx context.Context) error {
	_, err := c.rpc.ListBuckets(ctx, &metadatav1.ListBucketsRequest{Limit: 1})
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
