package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
)

// Buffer of a download; the size of the front-door's own messages.
const copyBuffer = 256 << 10

// Download says what is to be read.
type Download struct {
	Bucket, Key string
	// VersionID is empty for the current version.
	VersionID string
	// Begin is called with the object before its first byte is written.
	Begin func(*apiv1.Object)
}

// Get writes an object's bytes to w and checks their checksum. A connection that breaks is made again, and the rest
// of the same version is asked for. When Get returns an error, w holds a part of the object, or bytes that are wrong.
func (c *Client) Get(ctx context.Context, down Download, w io.Writer) (*apiv1.Object, error) {
	g := &getter{down: down, w: w, sum: newSummer(nil, -1), buf: make([]byte, copyBuffer)}
	for try := 1; ; try++ {
		before := g.sum.read
		err := c.patiently(ctx, func() error { return g.once(ctx, c) })
		var broken *brokenError
		switch {
		case err == nil:
			return g.object, g.verify()
		case !errors.As(err, &broken) || ctx.Err() != nil:
			return nil, err
		case g.sum.read > before:
			try = 1 // It gets on.
		case try == maxTries:
			return nil, err
		}
		if c.pause(ctx, defaultPause) != nil {
			return nil, err
		}
	}
}

// brokenError is a connection that ended before the body did.
type brokenError struct{ error }

// Unwrap implements errors.Unwrap's convention.
func (e *brokenError) Unwrap() error { return e.error }

// getter is one download over as many connections as it takes.
type getter struct {
	down   Download
	w      io.Writer
	object *apiv1.Object // nil before the first answer
	sum    *summer
	buf    []byte
}

func (g *getter) once(ctx context.Context, c *Client) error {
	in := call{
		method: http.MethodGet, path: objectPath(g.down.Bucket, g.down.Key),
		query: version(g.down.VersionID), header: http.Header{},
	}
	if g.sum.read > 0 {
		in.header.Set("Range", fmt.Sprintf("bytes=%d-", g.sum.read))
		in.header.Set("If-Match", g.object.GetEtag())
	}
	resp, err := c.send(ctx, in)
	if err != nil {
		if g.sum.read > 0 && IsReason(err, "PRECONDITION_FAILED", "NO_SUCH_KEY") {
			return fmt.Errorf("%s was replaced while it was read: get it again: %w", g.down.Key, err)
		}
		return err
	}
	defer closeBody(resp)
	if g.sum.read > 0 && resp.StatusCode != http.StatusPartialContent {
		return fmt.Errorf("%s: the server answered %s to a request for the rest", g.down.Key, resp.Status)
	}
	if g.object == nil {
		g.object = describe(g.down.Key, resp)
		if g.down.Begin != nil {
			g.down.Begin(g.object)
		}
	}
	return g.copy(resp.Body)
}

func (g *getter) copy(body io.Reader) error {
	g.sum.src = body
	for {
		n, err := g.sum.Read(g.buf)
		if _, werr := g.w.Write(g.buf[:n]); werr != nil {
			return fmt.Errorf("write what was read: %w", werr)
		}
		switch {
		case errors.Is(err, io.EOF) && g.sum.read < g.object.GetSize():
			return &brokenError{fmt.Errorf("%s: the connection ended after %d of %d bytes", g.down.Key, g.sum.read, g.object.GetSize())}
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return &brokenError{fmt.Errorf("%s: %w", g.down.Key, err)}
		}
	}
}

// verify compares what came with what the server says the object is.
func (g *getter) verify() error {
	if g.sum.read != g.object.GetSize() {
		return fmt.Errorf("%s: got %d bytes of an object of %d", g.down.Key, g.sum.read, g.object.GetSize())
	}
	want := g.object.GetChecksumCrc64Nvme()
	if got := g.sum.value(); want != "" && got != want {
		return fmt.Errorf("%s: the bytes that came have checksum %s, the object has %s: nothing was kept, get it again",
			g.down.Key, got, want)
	}
	return nil
}
