package client

import (
	"context"
	"errors"
	"net/http"
	"time"
)

const (
	// Tries of one call, the first included: enough to outlive a failover of a few seconds.
	maxTries = 5
	// What we wait after an outage when the server names no time.
	defaultPause = 500 * time.Millisecond
	// The longest that we let a server make us wait.
	maxPause = 10 * time.Second
)

// patiently repeats f while the server says that it cannot do it now. Every call of the API is safe to repeat.
func (c *Client) patiently(ctx context.Context, f func() error) error {
	for try := 1; ; try++ {
		err := f()
		wait, again := patience(err)
		if !again || try == maxTries {
			return err
		}
		if c.pause(ctx, wait<<(try-1)) != nil {
			return err
		}
	}
}

func patience(err error) (time.Duration, bool) {
	var e *Error
	if !errors.As(err, &e) {
		return 0, false
	}
	if e.Status != http.StatusServiceUnavailable && e.Status != http.StatusTooManyRequests {
		return 0, false
	}
	if e.RetryAfter > 0 {
		return min(e.RetryAfter, maxPause), true
	}
	return defaultPause, true
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(min(d, maxPause))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
