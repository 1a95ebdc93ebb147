package names

import (
	"context"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
)

// Version returns a version of a key, the current one for 0. Errors: NO_SUCH_BUCKET, NO_SUCH_KEY, NO_SUCH_VERSION.
func (c *Client) Version(ctx context.Context, bucket, key string, version uint64) (*metadatav1.GetVersionResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	resp, err := c.rpc.GetVersion(ctx, &metadatav1.GetVersionRequest{Bucket: bucket, Key: key, Version: version})
	if err != nil {
		return nil, err
	}
	c.learn(resp.GetRevision())
	return resp, nil
}

// List returns a page of current versions. Errors: NO_SUCH_BUCKET.
func (c *Client) List(ctx context.Context, req *metadatav1.ListVersionsRequest) (*metadatav1.ListVersionsResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return c.rpc.ListVersions(ctx, req)
}
