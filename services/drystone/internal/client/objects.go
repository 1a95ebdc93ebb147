package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
)

// Stat describes an object; versionID is empty for the current version.
func (c *Client) Stat(ctx context.Context, bucket, key, versionID string) (*apiv1.Object, error) {
	var out *apiv1.Object
	err := c.patiently(ctx, func() error {
		resp, err := c.send(ctx, call{method: http.MethodHead, path: objectPath(bucket, key), query: version(versionID)})
		if err != nil {
			return headError(err)
		}
		defer closeBody(resp)
		out = describe(key, resp)
		return nil
	})
	return out, err
}

// headError gives words to a refusal that could bring none: a HEAD has no body.
func headError(err error) error {
	e, ok := err.(*Error) //nolint:errorlint // send returns it bare
	if ok && e.Message == "" && e.Status == http.StatusNotFound {
		e.Message = "there is no such object or bucket"
	}
	return err
}

// Delete removes an object; one that is absent is gone.
func (c *Client) Delete(ctx context.Context, bucket, key string) error {
	return c.json(ctx, call{method: http.MethodDelete, path: objectPath(bucket, key)}, nil)
}

// Entry is a line of a listing: an object, or a prefix that stands for all keys that begin with it.
type Entry struct {
	Object *apiv1.Object
	Prefix string
}

// ListOptions choose what List lists.
type ListOptions struct {
	Prefix string
	// Delimiter rolls keys up that hold it after the prefix; empty: none are.
	Delimiter string
	// Metadata asks for content types and user metadata too.
	Metadata bool
}

// List lists current objects in the byte order of their keys, page by page. It ends after the first error.
func (c *Client) List(ctx context.Context, bucket string, o ListOptions) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		q := url.Values{}
		set(q, "prefix", o.Prefix)
		set(q, "delimiter", o.Delimiter)
		if o.Metadata {
			q.Set("includeMetadata", "true")
		}
		for {
			var page apiv1.ListObjectsResponse
			in := call{method: http.MethodGet, path: []string{"v1", "buckets", bucket, "objects"}, query: q}
			if err := c.json(ctx, in, &page); err != nil {
				yield(Entry{}, err)
				return
			}
			for e := range merged(&page) {
				if !yield(e, nil) {
					return
				}
			}
			if page.GetNextPageToken() == "" {
				return
			}
			q.Set("pageToken", page.GetNextPageToken())
		}
	}
}

// merged yields a page's objects and prefixes in one order.
func merged(page *apiv1.ListObjectsResponse) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		prefixes := page.GetPrefixes()
		for _, o := range page.GetObjects() {
			for len(prefixes) > 0 && prefixes[0] < o.GetKey() {
				if !yield(Entry{Prefix: prefixes[0]}) {
					return
				}
				prefixes = prefixes[1:]
			}
			if !yield(Entry{Object: o}) {
				return
			}
		}
		for _, p := range prefixes {
			if !yield(Entry{Prefix: p}) {
				return
			}
		}
	}
}

func set(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

func version(id string) url.Values {
	q := url.Values{}
	set(q, "versionId", id)
	return q
}

func objectPath(bucket, key string) []string {
	return []string{"v1", "buckets", bucket, "objects", key}
}

// describe reads an object from the headers of a GET or HEAD of the whole of it.
func describe(key string, resp *http.Response) *apiv1.Object {
	o := &apiv1.Object{
		Key:               key,
		Size:              max(resp.ContentLength, 0),
		Etag:              resp.Header.Get("ETag"),
		VersionId:         resp.Header.Get(headerVersionID),
		ContentType:       resp.Header.Get("Content-Type"),
		ChecksumCrc64Nvme: resp.Header.Get(headerChecksum),
	}
	if t, err := http.ParseTime(resp.Header.Get("Last-Modified")); err == nil {
		o.LastModified = timestamppb.New(t.In(time.UTC))
	}
	// A range's Content-Range tells the whole size: `bytes 0-4/10`.
	if _, total, ok := strings.Cut(resp.Header.Get("Content-Range"), "/"); ok {
		if n, err := strconv.ParseInt(total, 10, 64); err == nil {
			o.Size = n
		}
	}
	for name, values := range resp.Header {
		if rest, ok := strings.CutPrefix(name, headerMetaPrefix); ok && len(values) > 0 {
			if o.Metadata == nil {
				o.Metadata = map[string]string{}
			}
			o.Metadata[strings.ToLower(rest)] = values[0]
		}
	}
	return o
}
