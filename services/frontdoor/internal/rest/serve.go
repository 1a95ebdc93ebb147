package rest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	// headerTimeout ends clients that dribble headers.
	headerTimeout = 5 * time.Second
	// idleTimeout keeps connections between requests: longer than pools of clients and load balancers do.
	idleTimeout = 120 * time.Second
	// maxHeader holds the longest key, percent-encoded, and metadata over its bound, so that both are refused in words.
	maxHeader = 32 << 10
	// maxStreams of an HTTP/2 connection; the bulkheads bound what runs.
	maxStreams = 250
	// windows let an upload over HTTP/2 run at full speed without holding much for those that stall.
	streamWindow     = 1 << 20
	connectionWindow = 4 << 20
	maxFrame         = 256 << 10
)

// Serve answers on l, which it closes, until ctx ends. Then requests are still taken for Notice, while /readyz says that it
// stops and each answer ends its connection: who waits for answers, or asks, hears of it before a request can be lost.
// Running requests get a bounded time to end. HTTP/1.1 and HTTP/2 without TLS (h2c) are spoken. Nil after an orderly stop.
func (h *Handler) Serve(ctx context.Context, l net.Listener) error {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		Protocols:         protocols,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams, MaxReadFrameSize: maxFrame,
			MaxReceiveBufferPerStream: streamWindow, MaxReceiveBufferPerConnection: connectionWindow,
		},
		ErrorLog: slog.NewLogLogger(h.log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve http on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	if h.notice > 0 {
		h.stopping.Store(true)
		select {
		case err := <-failed:
			return fmt.Errorf("serve http on %s: %w", l.Addr(), err)
		case <-time.After(h.notice):
		}
	}
	err := stop(context.WithoutCancel(ctx), server, h.grace)
	if served := <-failed; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// stop waits for running requests, then ends them.
func stop(ctx context.Context, server *http.Server, grace time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	err := server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	if err != nil {
		return fmt.Errorf("stop the http server: %w", err)
	}
	return nil
}
