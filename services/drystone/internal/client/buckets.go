package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
)

// CreateBucket makes a bucket; scheme is `rs-k-m`, or empty for the cluster's default. An own bucket that exists is
// answered as if it had just been made, unless it has another scheme.
func (c *Client) CreateBucket(ctx context.Context, name, scheme string) (*apiv1.Bucket, error) {
	body, err := protojson.Marshal(&apiv1.CreateBucketRequest{Scheme: scheme})
	if err != nil {
		return nil, err
	}
	var out apiv1.CreateBucketResponse
	err = c.patiently(ctx, func() error {
		resp, err := c.send(ctx, call{
			method: http.MethodPut, path: []string{"v1", "buckets", name},
			header: http.Header{"Content-Type": {"application/json"}},
			body:   strings.NewReader(string(body)), length: int64(len(body)),
		})
		if err != nil {
			return err
		}
		defer closeBody(resp)
		return decode(resp, &out)
	})
	return out.GetBucket(), err
}

// Bucket describes a bucket.
func (c *Client) Bucket(ctx context.Context, name string) (*apiv1.Bucket, error) {
	var out apiv1.GetBucketResponse
	err := c.json(ctx, call{method: http.MethodGet, path: []string{"v1", "buckets", name}}, &out)
	return out.GetBucket(), err
}

// DeleteBucket removes an empty bucket; one that is absent is gone.
func (c *Client) DeleteBucket(ctx context.Context, name string) error {
	return c.json(ctx, call{method: http.MethodDelete, path: []string{"v1", "buckets", name}}, nil)
}

// Buckets lists the caller's buckets by name. It ends after the first error.
func (c *Client) Buckets(ctx context.Context) iter.Seq2[*apiv1.Bucket, error] {
	return func(yield func(*apiv1.Bucket, error) bool) {
		for token := ""; ; {
			var page apiv1.ListBucketsResponse
			q := url.Values{}
			if token != "" {
				q.Set("pageToken", token)
			}
			err := c.json(ctx, call{method: http.MethodGet, path: []string{"v1", "buckets"}, query: q}, &page)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, b := range page.GetBuckets() {
				if !yield(b, nil) {
					return
				}
			}
			if token = page.GetNextPageToken(); token == "" {
				return
			}
		}
	}
}

// Cluster describes the cluster.
func (c *Client) Cluster(ctx context.Context) (*apiv1.GetClusterResponse, error) {
	var out apiv1.GetClusterResponse
	if err := c.json(ctx, call{method: http.MethodGet, path: []string{"v1", "cluster"}}, &out); err != nil {
		return nil, err
	}
	return &out, nil
}
