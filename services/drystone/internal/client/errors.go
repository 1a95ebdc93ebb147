package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Error is what a front-door answered instead of doing it.
type Error struct {
	// Status is the HTTP status.
	Status int
	// Reason is machine-readable: a drystone.types.v1.Reason without its prefix; empty when the server gave none.
	Reason string
	// Message is for people.
	Message string
	// RetryAfter is how long the server asks to wait; 0 when it does not ask for it.
	RetryAfter time.Duration
}

// Error implements error.
func (e *Error) Error() string {
	msg := e.Message
	if msg == "" {
		msg = fmt.Sprintf("the server answered %d %s", e.Status, http.StatusText(e.Status))
	}
	if hint := e.hint(); hint != "" {
		msg += "; " + hint
	}
	return msg
}

func (e *Error) hint() string {
	switch {
	case e.Status == http.StatusUnauthorized:
		return "set --token or DRYSTONE_TOKEN, or run this where `drystone up` keeps its ./.drystone"
	case e.Reason == "NO_SUCH_BUCKET":
		return "`drystone ls` lists buckets, `drystone mb BUCKET` makes one"
	case e.Reason == "BUCKET_NOT_EMPTY":
		return "`drystone rm -r BUCKET` removes what is in it"
	case e.RetryAfter > 0:
		return fmt.Sprintf("the server asks to try again in %s", e.RetryAfter)
	}
	return ""
}

// IsReason tells whether a front-door answered with one of these reasons.
func IsReason(err error, reasons ...string) bool {
	reason := Reason(err)
	return reason != "" && slices.Contains(reasons, reason)
}

// Reason is what a front-door gave with its answer; empty for other errors.
func Reason(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

// IsAbsent tells whether a front-door answered that there is nothing, 404.
func IsAbsent(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == http.StatusNotFound
}

// status is google.rpc.Status as JSON, as far as we read it.
type status struct {
	Message string `json:"message"`
	Details []struct {
		Type   string `json:"@type"`
		Reason string `json:"reason"`
	} `json:"details"`
}

const maxErrorAnswer = 64 << 10

func answerError(resp *http.Response) error {
	e := &Error{Status: resp.StatusCode, RetryAfter: retryAfter(resp.Header)}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorAnswer))
	if err != nil {
		return e
	}
	var s status
	if json.Unmarshal(raw, &s) != nil {
		return e
	}
	e.Message = s.Message
	for _, d := range s.Details {
		if strings.HasSuffix(d.Type, "google.rpc.ErrorInfo") {
			e.Reason = d.Reason
		}
	}
	return e
}

func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds <= 0 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// explain makes a failure to connect or to read say what to do. It keeps the cause.
func (c *Client) explain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // The URL of a long key tells nobody anything.
	}
	var dns *net.DNSError
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nobody listens at %s: is `drystone up` running? (--endpoint or DRYSTONE_ENDPOINT names another): %w",
			c.base, err)
	case errors.As(err, &dns):
		return fmt.Errorf("there is no host %q: check --endpoint or DRYSTONE_ENDPOINT: %w", c.base.Hostname(), err)
	}
	return fmt.Errorf("talk to %s: %w", c.base, err)
}
