package log_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/drystone-store/drystone/services/kit/log"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inner is a key of a context further in.
type inner struct{}

func TestLines(t *testing.T) {
	sampled := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
	for _, tt := range []struct {
		name string
		log  func(ctx context.Context, l *slog.Logger)
		want map[string]any
	}{
		{"plain", func(ctx context.Context, l *slog.Logger) {
			l.InfoContext(ctx, "started", slog.Int("disks", 3))
		}, map[string]any{"level": "INFO", "msg": "started", "service": "svc", "disks": 3.0}},
		{"below the level", func(ctx context.Context, l *slog.Logger) { l.DebugContext(ctx, "x") }, nil},
		{"in a request", func(ctx context.Context, l *slog.Logger) {
			l.InfoContext(log.WithCorrelation(ctx, "c-1"), "x")
		}, map[string]any{"level": "INFO", "msg": "x", "service": "svc", "correlationId": "c-1"}},
		{"of a tenant learnt later", func(ctx context.Context, l *slog.Logger) {
			outer := log.WithCorrelation(ctx, "c-1")
			log.SetTenant(context.WithValue(outer, inner{}, 1), "t-1")
			l.InfoContext(outer, "x")
		}, map[string]any{"level": "INFO", "msg": "x", "service": "svc", "correlationId": "c-1", "tenantId": "t-1"}},
		{"in a trace", func(ctx context.Context, l *slog.Logger) {
			l.InfoContext(trace.ContextWithSpanContext(ctx, sampled), "x")
		}, map[string]any{"level": "INFO", "msg": "x", "service": "svc", "traceId": "01000000000000000000000000000000"}},
		{"with an error and a hashed key", func(ctx context.Context, l *slog.Logger) {
			l.With(log.Key("key", "a/b")).WarnContext(ctx, "x", log.Error(errors.New("disk on fire")))
		}, map[string]any{"level": "WARN", "msg": "x", "service": "svc", "key": "c14cddc033f64b9d", "error": "disk on fire"}},
		{"in a group", func(ctx context.Context, l *slog.Logger) {
			l.WithGroup("g").InfoContext(ctx, "x", slog.Int("a", 1))
		}, map[string]any{"level": "INFO", "msg": "x", "service": "svc", "g": map[string]any{"a": 1.0}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			tt.log(t.Context(), log.New(&out, "svc", slog.LevelInfo))
			var got map[string]any
			if out.Len() > 0 {
				if err := json.Unmarshal(out.Bytes(), &got); err != nil {
					t.Fatal(err)
				}
				delete(got, "time")
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("line (-want +got):\n%s", diff)
			}
		})
	}
}

func TestScope(t *testing.T) {
	ctx := t.Context()
	log.SetTenant(ctx, "nobody") // outside a request it is a no-op
	if log.Correlation(ctx) != "" || log.Tenant(ctx) != "" {
		t.Error("a scope from nowhere")
	}
	minted := log.WithCorrelation(ctx, "")
	id := log.Correlation(minted)
	if id == "" || id != log.Correlation(minted) || id == log.Correlation(log.WithCorrelation(ctx, "")) {
		t.Errorf("minted id %q is not one stable id of its own", id)
	}
	log.SetTenant(minted, "t")
	if log.Tenant(minted) != "t" {
		t.Error("the tenant is lost")
	}
}
