package rest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/log"
	"github.com/drystone-store/drystone/services/kit/telemetry"
)

// metrics of the HTTP front. op and status are bounded sets.
type metrics struct {
	seconds  *prometheus.HistogramVec
	received *prometheus.CounterVec
	sent     *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (m metrics, err error) {
	m.seconds, err = telemetry.Register(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "drystone_frontdoor_http_seconds",
		Help:    "Time of HTTP requests, from their headers to their last byte.",
		Buckets: prometheus.ExponentialBuckets(0.0005, 2, 18), //nolint:mnd // 0.5 ms to about a minute
	}, []string{"op", "status"}))
	if err != nil {
		return metrics{}, fmt.Errorf("register http metrics: %w", err)
	}
	m.received, err = telemetry.Register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "drystone_frontdoor_http_received_bytes_total", Help: "Bytes of uploads' bodies.",
	}, []string{"op"}))
	if err != nil {
		return metrics{}, fmt.Errorf("register http metrics: %w", err)
	}
	m.sent, err = telemetry.Register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "drystone_frontdoor_http_sent_bytes_total", Help: "Bytes of responses' bodies.",
	}, []string{"op"}))
	if err != nil {
		return metrics{}, fmt.Errorf("register http metrics: %w", err)
	}
	return m, nil
}

// account writes the request's canonical line and counts it. Keys are hashed: logs go where objects do not.
func (h *Handler) account(ctx context.Context, x *exchange) {
	elapsed := clock.Since(x.begin)
	status := x.status
	if status == 0 {
		status = http.StatusOK // net/http's own for a handler that wrote nothing.
	}
	h.metrics.seconds.WithLabelValues(x.op, strconv.Itoa(status)).Observe(elapsed.Seconds())
	h.metrics.received.WithLabelValues(x.op).Add(float64(x.received))
	h.metrics.sent.WithLabelValues(x.op).Add(float64(x.sent))
	// Never a warning: what the server is to blame for is one already, with its cause, in the line of the RPC behind this
	// request, and clients that hang up are their own affair.
	level := slog.LevelInfo
	if x.open {
		level = slog.LevelDebug // Probes come every second.
	}
	if !h.log.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 9)
	attrs = append(attrs,
		slog.String("op", x.op),
		slog.Int("status", status),
		slog.Float64("latencyMs", float64(elapsed.Microseconds())/1e3),
		slog.Int64("bytesIn", x.received),
		slog.Int64("bytesOut", x.sent),
	)
	if x.key != "" {
		attrs = append(attrs, log.Key("bucketHash", x.bucket), log.Key("keyHash", x.key))
	}
	if x.reason != "" {
		attrs = append(attrs, slog.String("reason", x.reason))
	}
	if x.aborted {
		attrs = append(attrs, slog.Bool("aborted", true))
	}
	h.log.LogAttrs(ctx, level, "http", attrs...)
}
