// Package log makes the JSON logger of a service and keeps what every line of one request has in common.
package log

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"

	"go.opentelemetry.io/otel/trace"
)

// hashBytes of a SHA-256 name a key in a log: enough to tell lines apart, too few and unsalted only as far as keys
// cannot be guessed.
const hashBytes = 8

// Scope is what all log lines of one request share. The server's interceptor makes it; what a handler learns later (the
// tenant) is set in place, so that the interceptor's own line has it too.
type Scope struct {
	// text or, when it is empty, number is the correlation id: most requests never need it written out.
	text   string
	number uint64
	tenant atomic.Pointer[string]
}

// ScopeKey is the context key of a *Scope, for contexts that hold one themselves; others use WithScope.
type ScopeKey struct{}

// Init gives the scope a correlation id: the caller's, or a new one when that is empty. The new one is unique among the
// requests that a log is searched for; it is no secret.
func (s *Scope) Init(correlation string) {
	s.text = correlation
	if correlation == "" {
		s.number = mint()
	}
}

// NewCorrelation is a new correlation id.
func NewCorrelation() string { return format(mint()) }

func mint() uint64 { return rand.Uint64() }

func format(id uint64) string { return fmt.Sprintf("%016x", id) }

// Correlation is the id.
func (s *Scope) Correlation() string {
	if s.text != "" {
		return s.text
	}
	return format(s.number)
}

// scope finds the scope of a request, nil outside one.
func scope(ctx context.Context) *Scope {
	s, _ := ctx.Value(ScopeKey{}).(*Scope)
	return s
}

// WithCorrelation starts a scope with this id, or a new one when it is empty: for background work whose lines shall be
// found together.
func WithCorrelation(ctx context.Context, id string) context.Context {
	s := new(Scope)
	s.Init(id)
	return context.WithValue(ctx, ScopeKey{}, s)
}

// Correlation is the id that this request's lines carry in every service, empty outside a request.
func Correlation(ctx context.Context) string {
	if s := scope(ctx); s != nil {
		return s.Correlation()
	}
	return ""
}

// SetTenant adds the tenant to all lines of the request from now on. Without a scope it does nothing.
func SetTenant(ctx context.Context, tenant string) {
	if s := scope(ctx); s != nil {
		s.tenant.Store(&tenant)
	}
}

// Tenant is what SetTenant set, empty before.
func Tenant(ctx context.Context) string {
	if s := scope(ctx); s != nil {
		if t := s.tenant.Load(); t != nil {
			return *t
		}
	}
	return ""
}

// New makes a logger that writes one JSON object a line, with `service` and, from the context, correlationId, tenantId
// and traceId.
func New(w io.Writer, service string, level slog.Leveler) *slog.Logger {
	h := slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})
	return slog.New(handler{h}).With(slog.String("service", service))
}

// Discard makes a logger that writes nothing, for tests and nil options.
func Discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Key is a hashed attribute for what must not stand in a log: object keys, tokens' names. Equal values stay equal.
func Key(name, value string) slog.Attr {
	return slog.String(name, Hash(value))
}

// Hash is the short hash that Key logs.
func Hash(value string) string {
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:hashBytes])
}

// Error is the attribute that every line about an error uses.
func Error(err error) slog.Attr { return slog.Any("error", err) }

// handler adds the context's attributes to each record.
type handler struct{ next slog.Handler }

func (h handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	if s := scope(ctx); s != nil {
		r.AddAttrs(slog.String("correlationId", s.Correlation()))
		if t := s.tenant.Load(); t != nil {
			r.AddAttrs(slog.String("tenantId", *t))
		}
	}
	if sc := trace.SpanContextFromContext(ctx); sc.IsSampled() {
		r.AddAttrs(slog.String("traceId", sc.TraceID().String()))
	}
	return h.next.Handle(ctx, r)
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler { return handler{h.next.WithAttrs(attrs)} }

func (h handler) WithGroup(name string) slog.Handler { return handler{h.next.WithGroup(name)} }
