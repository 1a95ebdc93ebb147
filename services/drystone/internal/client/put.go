package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/minio/crc64nvme"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
)

// Bodies up to this size are read first, so that the checksum can go before them. Longer ones are read once, as they
// are sent, and the checksum follows in a trailer.
const maxBuffered = 1 << 20

// errMoved means that a file was not as long as it had said.
var errMoved = errors.New("it changed while it was read; nothing was stored")

// Upload says what is to be stored.
type Upload struct {
	Bucket, Key string
	// ContentType is empty for the server's default.
	ContentType string
	// Metadata is user metadata; names are case-insensitive.
	Metadata map[string]string
	// Body is read to its end. When it is an io.Seeker, a try that the server refused is repeated from where it began.
	Body io.Reader
	// Size of the body in bytes, -1 when it is not known. A body that turns out to have another size is not stored.
	Size int64
}

// Put stores an object. The server compares the checksum of what it got with that of what was read here, before it
// commits; Put compares the answer once more.
func (c *Client) Put(ctx context.Context, up Upload) (*apiv1.PutObjectResponse, error) {
	if up.Size >= 0 && up.Size <= maxBuffered {
		return c.putBuffered(ctx, up)
	}
	src := newSource(up.Body, up.Size)
	var out apiv1.PutObjectResponse
	err := c.patiently(ctx, func() error {
		body, err := src.begin()
		if err != nil {
			return err
		}
		err = c.putOnce(ctx, up, call{body: body, length: -1, trailer: body.trailer}, &out)
		return src.end(body, err)
	})
	var spent *spentError
	switch {
	case errors.As(err, &spent):
		return nil, spent.error
	case err != nil:
		return nil, err
	}
	return &out, compare(src.sum, &out)
}

func (c *Client) putBuffered(ctx context.Context, up Upload) (*apiv1.PutObjectResponse, error) {
	// One byte more shows that a body is longer than its size.
	body, err := io.ReadAll(io.LimitReader(up.Body, up.Size+1))
	if err != nil {
		return nil, fmt.Errorf("read what is to be stored: %w", err)
	}
	if int64(len(body)) != up.Size {
		return nil, errMoved
	}
	sum := encodeSum(crc64nvme.Checksum(body))
	var out apiv1.PutObjectResponse
	err = c.patiently(ctx, func() error {
		in := call{body: bytes.NewReader(body), length: up.Size, header: http.Header{headerChecksum: {sum}}}
		if up.Size == 0 {
			in.body = http.NoBody
		}
		return c.putOnce(ctx, up, in, &out)
	})
	if err != nil {
		return nil, err
	}
	return &out, compare(sum, &out)
}

func (c *Client) putOnce(ctx context.Context, up Upload, in call, out *apiv1.PutObjectResponse) error {
	in.method, in.path = http.MethodPut, objectPath(up.Bucket, up.Key)
	if in.header == nil {
		in.header = http.Header{}
	}
	if up.ContentType != "" {
		in.header.Set("Content-Type", up.ContentType)
	}
	for name, value := range up.Metadata {
		in.header.Set(headerMetaPrefix+name, value)
	}
	if in.length < 0 {
		// A refusal comes before the body then.
		in.header.Set("Expect", "100-continue")
	}
	resp, err := c.send(ctx, in)
	if err != nil {
		return err
	}
	defer closeBody(resp)
	return decode(resp, out)
}

// compare holds the answer's checksum against ours.
func compare(sum string, got *apiv1.PutObjectResponse) error {
	if got.GetChecksumCrc64Nvme() == "" || got.GetChecksumCrc64Nvme() == sum {
		return nil
	}
	return fmt.Errorf("%s was stored with checksum %s instead of %s: do not trust it, store it again",
		got.GetKey(), got.GetChecksumCrc64Nvme(), sum)
}
