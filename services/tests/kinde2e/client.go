package kinde2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	// connectTimeout and connectTries: see the package's comment.
	connectTimeout = time.Second
	connectTries   = 8
	// tryTimeout is what a client waits for the answer to one try.
	tryTimeout = 8 * time.Second
	// retryPause is what a client waits before the second try, as SDKs do.
	retryPause = 300 * time.Millisecond
)

// client talks REST like a client from outside: through the service's node port.
type client struct {
	endpoint, token string
	http            *http.Client
}

func newClient(endpoint, token string) *client {
	dialer := net.Dialer{Timeout: connectTimeout}
	dial := func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		for range connectTries {
			if conn, err = dialer.DialContext(ctx, network, address); err == nil || ctx.Err() != nil {
				return conn, err
			}
		}
		return nil, err
	}
	return &client{endpoint: endpoint, token: token, http: &http.Client{
		Timeout:   tryTimeout,
		Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: writers + readers},
	}}
}

// do makes one try.
func (c *client) do(ctx context.Context, method, path string, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.endpoint+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	return resp.StatusCode, got, err
}

// get reads an object with one retry on a new connection. It says whether that was needed.
func (c *client) get(ctx context.Context, path string) (status int, body []byte, retried bool, err error) {
	status, body, err = c.do(ctx, http.MethodGet, path, nil)
	if (err == nil && status < http.StatusInternalServerError) || ctx.Err() != nil {
		return status, body, false, err
	}
	c.http.CloseIdleConnections()
	pause(ctx, retryPause)
	first := fmt.Sprintf("first try: %d %v %.200s", status, err, body)
	status, body, err = c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		err = fmt.Errorf("%w (%s)", err, first)
	}
	return status, body, true, err
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
