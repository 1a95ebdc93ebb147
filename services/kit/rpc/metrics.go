package rpc

import (
	"log/slog"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/drystone-store/drystone/services/kit/log"
	"github.com/drystone-store/drystone/services/kit/telemetry"
)

// codeCount is how many gRPC codes there are; others are counted as Unknown.
const codeCount = int(codes.Unauthenticated) + 1

// secondsBuckets: in-process calls take microseconds, a disk sync milliseconds, deadlines end after seconds.
func secondsBuckets() []float64 {
	return []float64{1e-5, 1e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1, 2.5, 10}
}

// method is what is known of one RPC: its handler and its observers.
type method struct {
	full, service, name string
	seconds             observers
	spanOptions         []trace.SpanStartOption

	impl   any
	unary  grpc.MethodHandler
	stream *grpc.StreamDesc
}

// observers caches a histogram by code, since looking one up by labels costs more than observing.
type observers struct {
	vec    *prometheus.HistogramVec
	labels []string
	byCode *[codeCount]atomic.Pointer[prometheus.Observer]
}

func newObservers(vec *prometheus.HistogramVec, labels ...string) observers {
	return observers{vec: vec, labels: labels, byCode: new([codeCount]atomic.Pointer[prometheus.Observer])}
}

func (o observers) observe(code codes.Code, seconds float64) {
	if int(code) >= codeCount {
		code = codes.Unknown
	}
	slot := &o.byCode[code]
	cached := slot.Load()
	if cached == nil {
		labels := append(append([]string(nil), o.labels...), code.String())
		observer := o.vec.WithLabelValues(labels...)
		cached = &observer
		slot.Store(cached)
	}
	(*cached).Observe(seconds)
}

type serverMetrics struct {
	seconds  *prometheus.HistogramVec
	inFlight *prometheus.GaugeVec
}

func newServerMetrics(r prometheus.Registerer, logger *slog.Logger) serverMetrics {
	return serverMetrics{
		seconds: register(r, logger, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "drystone_rpc_server_seconds", Help: "Time to handle a call, by outcome.", Buckets: secondsBuckets(),
		}, []string{"service", "method", "code"})),
		inFlight: register(r, logger, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "drystone_rpc_server_in_flight", Help: "Calls that are being handled, of kind unary or stream.",
		}, []string{"server", "kind"})),
	}
}

func (m serverMetrics) method(service, name string) *method {
	return &method{
		full: "/" + service + "/" + name, service: service, name: name,
		seconds: newObservers(m.seconds, service, name),
		spanOptions: []trace.SpanStartOption{
			trace.WithSpanKind(trace.SpanKindServer),
			trace.WithAttributes(attribute.String("rpc.system", "grpc"), attribute.String("rpc.service", service), attribute.String("rpc.method", name)),
		},
	}
}

type clientMetrics struct {
	seconds        *prometheus.HistogramVec
	breakerState   *prometheus.GaugeVec
	breakerChanges *prometheus.CounterVec
	refused        *prometheus.CounterVec
}

func newClientMetrics(r prometheus.Registerer, logger *slog.Logger) clientMetrics {
	return clientMetrics{
		seconds: register(r, logger, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "drystone_rpc_client_seconds", Help: "Time that a call took its caller, by outcome.", Buckets: secondsBuckets(),
		}, []string{"service", "method", "code"})),
		breakerState: register(r, logger, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "drystone_breaker_state", Help: "0 closed, 1 half-open, 2 open.",
		}, []string{"peer", "class"})),
		breakerChanges: register(r, logger, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drystone_breaker_changes_total", Help: "Changes of a breaker into a state.",
		}, []string{"peer", "class", "to"})),
		refused: register(r, logger, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drystone_rpc_client_refused_total", Help: "Calls that were not made since too many to the peer wait already.",
		}, []string{"peer"})),
	}
}

// clientSpan are the options of spans around calls; their name says which.
func clientSpan() []trace.SpanStartOption {
	return []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attribute.String("rpc.system", "grpc"))}
}

// register registers c. A name that another kind of metric took is a bug that must not stop a service: c then counts
// unseen, and the log says so.
func register[C prometheus.Collector](r prometheus.Registerer, logger *slog.Logger, c C) C {
	registered, err := telemetry.Register(r, c)
	if err != nil {
		logger.Error("a metric cannot be registered", log.Error(err))
		return c
	}
	return registered
}
