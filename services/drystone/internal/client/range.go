package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// GetRange writes length bytes of an object, from an offset on, to w; all of them must be in the object. It is for
// short ranges: what breaks off is an error, and nothing has a checksum.
func (c *Client) GetRange(ctx context.Context, bucket, key string, offset, length int64, w io.Writer) error {
	return c.patiently(ctx, func() error {
		resp, err := c.send(ctx, call{
			method: http.MethodGet, path: objectPath(bucket, key),
			header: http.Header{"Range": {fmt.Sprintf("bytes=%d-%d", offset, offset+length-1)}},
		})
		if err != nil {
			return err
		}
		defer closeBody(resp)
		want := fmt.Sprintf("bytes %d-%d/", offset, offset+length-1)
		if got := resp.Header.Get("Content-Range"); resp.StatusCode != http.StatusPartialContent || !strings.HasPrefix(got, want) {
			return fmt.Errorf("%s: the server answered %s with %q to a request for %s", key, resp.Status, got, want)
		}
		n, err := io.Copy(w, io.LimitReader(resp.Body, length+1))
		switch {
		case err != nil:
			return fmt.Errorf("%s: read a range: %w", key, err)
		case n != length:
			return fmt.Errorf("%s: got %d bytes of a range of %d", key, n, length)
		}
		return nil
	})
}
