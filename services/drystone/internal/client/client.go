// Package client speaks the REST object API for the command line. It checks checksums in both directions, repeats
// what is safe to repeat, and tells what to do when a call fails.
package client

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const (
	// How long a server may take to answer once it has the whole request. Bodies themselves have no limit.
	answerTimeout = 60 * time.Second
	dialTimeout   = 5 * time.Second
	// Parallel copies are bounded well below this (see internal/cli).
	maxIdleConns = 64
	// A JSON answer is at most a page of 1,000 objects with 2 KiB of metadata and a key of 1 KiB each.
	maxAnswer = 16 << 20
	// How long the server may take to say that it wants the body of a large upload.
	continueTimeout = 2 * time.Second
)

// Client calls one front-door. It is safe for concurrent use.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
	pause func(context.Context, time.Duration) error
}

// New makes a client of the front-door at endpoint, `host:port` or a URL with nothing after the port. It does not
// connect.
func New(endpoint, token string) (*Client, error) {
	base, err := ParseEndpoint(endpoint)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: dialTimeout}).DialContext,
		ResponseHeaderTimeout: answerTimeout,
		ExpectContinueTimeout: continueTimeout,
		MaxIdleConns:          maxIdleConns,
		MaxIdleConnsPerHost:   maxIdleConns,
		IdleConnTimeout:       90 * time.Second,
		DisableCompression:    true, // An object's bytes come as they were stored.
		ForceAttemptHTTP2:     true,
		WriteBufferSize:       256 << 10,
		ReadBufferSize:        256 << 10,
	}
	return &Client{base: base, token: token, http: &http.Client{Transport: transport}, pause: pause}, nil
}

// ParseEndpoint reads `host:port` or `http(s)://host:port` and returns it as a URL without a path.
func ParseEndpoint(endpoint string) (*url.URL, error) {
	if !strings.Contains(endpoint, "://") {
		endpoint = "http://" + endpoint
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("endpoint %q: %w", endpoint, err)
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("endpoint %q: it begins with http:// or https://", endpoint)
	case u.Host == "":
		return nil, fmt.Errorf("endpoint %q: it names no host", endpoint)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return nil, fmt.Errorf("endpoint %q: only a host and a port, please", endpoint)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// call is one request. path holds raw segments; they are escaped one by one, so any key survives.
type call struct {
	method string
	path   []string
	query  url.Values
	header http.Header
	body   io.Reader
	length int64 // of the body; -1 when it is not known
	// trailer has its names now and its values once the body has been read.
	trailer http.Header
}

func (c *Client) request(ctx context.Context, in call) (*http.Request, error) {
	escaped := make([]string, len(in.path))
	for i, segment := range in.path {
		escaped[i] = escapeSegment(segment)
	}
	u := *c.base
	u.Path = "/" + strings.Join(in.path, "/")
	u.RawPath = "/" + strings.Join(escaped, "/")
	u.RawQuery = in.query.Encode()
	req, err := http.NewRequestWithContext(ctx, in.method, u.String(), in.body)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	// NewRequest parsed the URL again; this one keeps the escaping that was asked for, `//` and `..` included.
	req.URL = &u
	for name, values := range in.header {
		req.Header[name] = values
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if in.body != nil {
		req.ContentLength = in.length
	}
	return req, nil
}

// escapeSegment escapes a raw path segment so that the front-door, which unescapes exactly once, reads the same bytes.
// A key is one segment here: its slashes stay readable unless a proxy on the way could take them for a path to clean.
func escapeSegment(s string) string {
	clean := path.Clean("/"+s) == "/"+s
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		switch ch := s[i]; {
		case 'a' <= ch && ch <= 'z', 'A' <= ch && ch <= 'Z', '0' <= ch && ch <= '9', ch == '-', ch == '_', ch == '~',
			clean && (ch == '/' || ch == '.'):
			b.WriteByte(ch)
		default:
			b.WriteByte('%')
			b.WriteByte(hex[ch>>4])
			b.WriteByte(hex[ch&15])
		}
	}
	return b.String()
}

// send returns an answer with a status below 300; the caller closes its body. Anything else is an error.
func (c *Client) send(ctx context.Context, in call) (*http.Response, error) {
	req, err := c.request(ctx, in)
	if err != nil {
		if body, ok := in.body.(io.Closer); ok {
			_ = body.Close() // As the transport does; whoever waits for it must not wait for ever.
		}
		return nil, err
	}
	if in.trailer != nil {
		req.Trailer = in.trailer
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		defer closeBody(resp)
		return nil, answerError(resp)
	}
	return resp, nil
}

// json makes a call, repeats it while the server asks for patience, and reads the answer into out unless that is nil.
func (c *Client) json(ctx context.Context, in call, out proto.Message) error {
	return c.patiently(ctx, func() error {
		resp, err := c.send(ctx, in)
		if err != nil {
			return err
		}
		defer closeBody(resp)
		return decode(resp, out)
	})
}

func decode(resp *http.Response, out proto.Message) error {
	if out == nil {
		return nil
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(raw, out); err != nil {
		return fmt.Errorf("the answer is not what a Drystone front-door sends (is something else at %s?): %w",
			resp.Request.URL.Host, err)
	}
	return nil
}

func closeBody(resp *http.Response) {
	// Drain a little, so that the connection can be used again.
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	_ = resp.Body.Close()
}
