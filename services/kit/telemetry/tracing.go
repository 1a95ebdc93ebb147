package telemetry

import (
	"context"
	"fmt"
	"math/rand/v2"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"
	"go.opentelemetry.io/otel/trace/noop"
)

// Tracing is a tracer provider that decides about a trace before it spends anything on it: the SDK makes ids and
// copies attributes even for spans that it will drop, which costs more than an in-process call. The root decides, its
// decision travels, everybody else follows it.
type Tracing struct {
	embedded.TracerProvider
	ratio float64
	sdk   *sdktrace.TracerProvider
}

// NewTracing makes a provider that records the share `ratio` (0 to 1) of the traces begun here, and those that a caller
// records. Options may name span processors; without one, spans go nowhere.
func NewTracing(service string, ratio float64, options ...sdktrace.TracerProviderOption) (*Tracing, error) {
	if !(ratio >= 0 && ratio <= 1) { // also refuses NaN
		return nil, fmt.Errorf("trace ratio %v: between 0 and 1", ratio)
	}
	options = append(options,
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", service))),
		sdktrace.WithSampler(sdktrace.AlwaysSample()), // what comes here is decided already
	)
	return &Tracing{ratio: ratio, sdk: sdktrace.NewTracerProvider(options...)}, nil
}

// Tracer makes a tracer.
func (t *Tracing) Tracer(name string, options ...trace.TracerOption) trace.Tracer {
	return &gate{ratio: t.ratio, next: t.sdk.Tracer(name, options...)}
}

// Shutdown hands what was recorded to the span processors and ends them.
func (t *Tracing) Shutdown(ctx context.Context) error {
	if err := t.sdk.Shutdown(ctx); err != nil {
		return fmt.Errorf("shut tracing down: %w", err)
	}
	return nil
}

// gate is a tracer that decides first.
type gate struct {
	embedded.Tracer
	ratio float64
	next  trace.Tracer
}

// Start begins a span if its trace is recorded.
func (g *gate) Start(ctx context.Context, name string, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	parent := trace.SpanContextFromContext(ctx)
	switch {
	case parent.IsSampled():
		return g.next.Start(ctx, name, options...)
	case parent.IsValid() || g.ratio == 0:
		return ctx, noop.Span{}
	case rand.Float64() < g.ratio:
		return g.next.Start(ctx, name, options...)
	}
	// Downstream must not decide again: it gets a trace that is not recorded.
	return trace.ContextWithSpanContext(ctx, notRecorded()), noop.Span{}
}

func notRecorded() trace.SpanContext {
	var config trace.SpanContextConfig
	for i := range config.TraceID {
		config.TraceID[i] = byte(rand.Uint32())
	}
	for i := range config.SpanID {
		config.SpanID[i] = byte(rand.Uint32())
	}
	return trace.NewSpanContext(config)
}
