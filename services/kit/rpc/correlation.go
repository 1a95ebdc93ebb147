package rpc

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/metadata"
)

const (
	// correlationHeader carries the id under which all services log one request.
	correlationHeader = "drystone-correlation-id"
	// callerHeader carries the caller's name, for logs only: nothing proves it.
	callerHeader = "drystone-caller"
	// traceHeader is the W3C trace context.
	traceHeader = "traceparent"
	// correlationMax bounds an id or a name that came from outside.
	correlationMax = 64
)

// first is the value of a key if it may stand in logs and go on to peers: short and printable.
func first(md metadata.MD, key string) string {
	v := firstOf(md[key])
	if len(v) > correlationMax {
		return ""
	}
	for _, b := range []byte(v) {
		if b < ' ' || b > '~' {
			return ""
		}
	}
	return v
}

// extractTrace continues the caller's trace.
func extractTrace(ctx context.Context, md metadata.MD) context.Context {
	if len(md[traceHeader]) == 0 {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, carrier(md))
}

// injectTrace returns the traceparent of ctx's span, empty when there is none.
func injectTrace(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ""
	}
	md := carrier{}
	propagation.TraceContext{}.Inject(ctx, md)
	return md.Get(traceHeader)
}

// carrier lets otel read and write metadata.
type carrier metadata.MD

func (c carrier) Get(key string) string { return firstOf(metadata.MD(c).Get(key)) }

func (c carrier) Set(key, value string) { metadata.MD(c).Set(key, value) }

func (c carrier) Keys() []string {
	keys := make([]string, 0, len(c))
	for k := range c {
		keys = append(keys, k)
	}
	return keys
}

func firstOf(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}
