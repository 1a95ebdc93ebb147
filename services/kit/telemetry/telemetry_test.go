package telemetry_test

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/drystone-store/drystone/services/kit/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestHandler(t *testing.T) {
	notReady := func() error { return errors.New("metadata does not serve") }
	for _, tt := range []struct {
		name, path string
		options    telemetry.HandlerOptions
		status     int
		body       string
	}{
		{"metrics", "/metrics", telemetry.HandlerOptions{Metrics: telemetry.NewMetrics()}, 200, "go_goroutines"},
		{"no metrics", "/metrics", telemetry.HandlerOptions{}, 404, ""},
		{"alive", "/healthz", telemetry.HandlerOptions{Ready: notReady}, 200, "ok"},
		{"ready", "/readyz", telemetry.HandlerOptions{}, 200, "ready"},
		{"not ready", "/readyz", telemetry.HandlerOptions{Ready: notReady}, 503, "metadata does not serve"},
		{"profiles", "/debug/pprof/cmdline", telemetry.HandlerOptions{Pprof: true}, 200, "telemetry"},
		{"no profiles", "/debug/pprof/cmdline", telemetry.HandlerOptions{}, 404, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			telemetry.Handler(tt.options).ServeHTTP(w, httptest.NewRequest(http.MethodGet, tt.path, nil))
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.body) {
				t.Errorf("got %d %.100q, want %d with %q", w.Code, w.Body.String(), tt.status, tt.body)
			}
		})
	}
}

func TestServeEndsWithTheContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- telemetry.Serve(ctx, l, telemetry.Handler(telemetry.HandlerOptions{})) }()
	resp, err := http.Get("http://" + l.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Error(err)
	}
	_ = resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	stop()
	if err := <-ended; err != nil {
		t.Errorf("serve: %v", err)
	}
}

func TestServeReportsItsFailure(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if err := telemetry.Serve(t.Context(), l, http.NewServeMux()); err == nil {
		t.Error("a closed listener was served")
	}
}

func TestRegister(t *testing.T) {
	counter := func(label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "drystone_x_total", Help: "x"}, []string{label})
	}
	r := prometheus.NewRegistry()
	first, err := telemetry.Register(r, counter("a"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := telemetry.Register(r, counter("a"))
	if err != nil || first != second {
		t.Errorf("the equal collector is not shared: %v", err)
	}
	if _, err := telemetry.Register(r, counter("b")); err == nil {
		t.Error("a clash was hidden")
	}
	if _, err := telemetry.Register(nil, counter("a")); err != nil {
		t.Errorf("without a registerer: %v", err)
	}
}

func TestTracingFollowsTheRoot(t *testing.T) {
	remote := func(flags trace.TraceFlags) trace.SpanContext {
		return trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: flags, Remote: true})
	}
	for _, tt := range []struct {
		name     string
		ratio    float64
		parent   trace.SpanContext
		recorded bool
	}{
		{"root, all", 1, trace.SpanContext{}, true},
		{"root, none", 0, trace.SpanContext{}, false},
		{"caller records", 0, remote(trace.FlagsSampled), true},
		{"caller does not", 1, remote(0), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			recorder := tracetest.NewSpanRecorder()
			tracing, err := telemetry.NewTracing("svc", tt.ratio, sdktrace.WithSpanProcessor(recorder))
			if err != nil {
				t.Fatal(err)
			}
			ctx, span := tracing.Tracer("t").Start(trace.ContextWithSpanContext(t.Context(), tt.parent), "op")
			if span.IsRecording() != tt.recorded {
				t.Errorf("recording: %v", span.IsRecording())
			}
			if tt.parent.IsValid() && trace.SpanContextFromContext(ctx).TraceID() != tt.parent.TraceID() {
				t.Error("the trace was broken")
			}
			span.End()
			if got := len(recorder.Ended()) == 1; got != tt.recorded {
				t.Errorf("recorded: %v", got)
			}
			if err := tracing.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// What the root did not choose must not be chosen further down: parts of traces are of no use.
func TestTracingTellsDownstream(t *testing.T) {
	edge, err := telemetry.NewTracing("edge", math.SmallestNonzeroFloat64)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := telemetry.NewTracing("inner", 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, _ := edge.Tracer("t").Start(t.Context(), "op")
	if _, span := inner.Tracer("t").Start(ctx, "op"); span.IsRecording() {
		t.Error("decided again")
	}
}

func TestTracingRatio(t *testing.T) {
	for _, ratio := range []float64{-0.1, 1.1, math.NaN()} {
		if _, err := telemetry.NewTracing("svc", ratio); err == nil {
			t.Errorf("%v was accepted", ratio)
		}
	}
}

func BenchmarkStartUnrecorded(b *testing.B) {
	tracing, err := telemetry.NewTracing("svc", 0)
	if err != nil {
		b.Fatal(err)
	}
	tracer := tracing.Tracer("t")
	b.ReportAllocs()
	for b.Loop() {
		_, span := tracer.Start(b.Context(), "op")
		span.End()
	}
}
