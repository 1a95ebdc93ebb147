package rpc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/log"
	"github.com/drystone-store/drystone/services/kit/rpc"
	"github.com/drystone-store/drystone/services/kit/telemetry"
)

const unaryOp = "grpc.testing.TestService/UnaryCall"

// lines decodes the JSON lines of a log without what differs from run to run.
func lines(t *testing.T, b *bytes.Buffer) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range strings.Lines(b.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		if _, ok := m["latencyMs"].(float64); !ok && m["msg"] == "request" {
			t.Errorf("no latency in %s", line)
		}
		if stack, _ := m["stack"].(string); m["msg"] == "panic in a handler" && !strings.Contains(stack, "observe_test.go") {
			t.Errorf("no stack in %s", line)
		}
		for _, key := range []string{"time", "latencyMs", "stack"} {
			delete(m, key)
		}
		all = append(all, m)
	}
	return all
}

func TestOneLinePerRequest(t *testing.T) {
	line := func(level, code string, more ...string) map[string]any {
		m := map[string]any{
			"level": level, "msg": "request", "service": "svc", "op": unaryOp, "code": code, "peer": "tester",
			"correlationId": "c-1", "tenantId": "t-1",
		}
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	for _, tt := range []struct {
		name    string
		level   slog.Leveler
		handler func() error
		want    []map[string]any
	}{
		{"success is for debugging", nil, func() error { return nil }, []map[string]any{line("DEBUG", "OK")}},
		{"success at a level", slog.LevelInfo, func() error { return nil }, []map[string]any{line("INFO", "OK")}},
		{"the caller's fault keeps its text", nil, func() error {
			return fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_KEY, "object %q", "private")
		}, []map[string]any{line("DEBUG", "NotFound", "reason", "NO_SUCH_KEY")}},
		{"our fault with its causes", nil, func() error { return errors.New("disk on fire") }, []map[string]any{
			line("WARN", "Internal", "reason", "INTERNAL", "error", "disk on fire"),
		}},
		{"a panic with its stack", nil, func() error { panic("boom") }, []map[string]any{
			{
				"level": "ERROR", "msg": "panic in a handler", "service": "svc", "op": unaryOp, "panic": "boom",
				"correlationId": "c-1", "tenantId": "t-1",
			},
			line("WARN", "Internal", "reason", "INTERNAL", "error", "internal error: panic: boom"),
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			svc := &service{unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
				log.SetTenant(ctx, "t-1")
				return &testpb.SimpleResponse{}, tt.handler()
			}}
			var out bytes.Buffer
			o := rpc.ServerOptions{Log: log.New(&out, "svc", slog.LevelDebug), LogLevel: tt.level}
			everywhere(t, o, svc, func(t *testing.T, w world, c testpb.TestServiceClient) {
				out.Reset()
				if !w.mesh {
					return // has no caller's name
				}
				_, _ = c.UnaryCall(log.WithCorrelation(t.Context(), "c-1"), &testpb.SimpleRequest{})
				if diff := cmp.Diff(tt.want, lines(t, &out)); diff != "" {
					t.Errorf("log (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestCallsAreCounted(t *testing.T) {
	svc := &service{unary: func(_ context.Context, req *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
		if req.GetFillUsername() {
			return nil, fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_KEY, "")
		}
		return &testpb.SimpleResponse{}, nil
	}}
	metrics := prometheus.NewRegistry()
	s := rpc.NewServer(rpc.ServerOptions{Metrics: metrics})
	rpc.NewServer(rpc.ServerOptions{Metrics: metrics}) // a second server of the process shares the vector
	testpb.RegisterTestServiceServer(s, svc)
	c := testpb.NewTestServiceClient(s.InProcess())
	for i := range 3 {
		_, _ = c.UnaryCall(t.Context(), &testpb.SimpleRequest{FillUsername: i == 0})
	}
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]uint64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := f.GetName()
			for _, l := range m.GetLabel() {
				labels += " " + l.GetValue()
			}
			if f.GetName() == "drystone_rpc_server_seconds" {
				got[labels] = m.GetHistogram().GetSampleCount()
			} else if v := m.GetGauge().GetValue(); v != 0 {
				t.Errorf("%s is %v when nothing runs", labels, v)
			}
		}
	}
	want := map[string]uint64{
		"drystone_rpc_server_seconds NotFound UnaryCall grpc.testing.TestService": 1,
		"drystone_rpc_server_seconds OK UnaryCall grpc.testing.TestService":       2,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if problems, err := testutil.GatherAndLint(metrics); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
}

// One trace runs through two services over the network; what is not sampled at the root is sampled nowhere.
func TestTracesCrossServices(t *testing.T) {
	for _, tt := range []struct {
		name  string
		ratio float64
		spans int
	}{
		{"recorded", 1, 4}, // two clients, two servers
		{"not recorded", 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			recorder := tracetest.NewSpanRecorder()
			tracing := func(ratio float64) *telemetry.Tracing {
				p, err := telemetry.NewTracing("t", ratio, sdktrace.WithSpanProcessor(recorder))
				if err != nil {
					t.Fatal(err)
				}
				return p
			}
			start := func(ratio float64, svc *service) testpb.TestServiceClient {
				provider := tracing(ratio)
				s := rpc.NewServer(rpc.ServerOptions{Tracer: provider})
				testpb.RegisterTestServiceServer(s, svc)
				address := serve(t, s, "tcp", "127.0.0.1:0")
				return testpb.NewTestServiceClient(dial(t, rpc.DialerOptions{Tracer: provider}, address, rpc.ConnOptions{}))
			}
			back := start(0, &service{unary: func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
				return &testpb.SimpleResponse{}, nil
			}})
			front := start(tt.ratio, &service{unary: func(ctx context.Context, req *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
				return back.UnaryCall(ctx, req)
			}})
			if err := ping(t, front); err != nil {
				t.Fatal(err)
			}
			spans := recorder.Ended()
			if len(spans) != tt.spans {
				t.Fatalf("%d spans, want %d", len(spans), tt.spans)
			}
			for _, s := range spans {
				if s.SpanContext().TraceID() != spans[0].SpanContext().TraceID() {
					t.Error("the trace was broken")
				}
			}
		})
	}
}
