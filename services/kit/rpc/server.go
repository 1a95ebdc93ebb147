package rpc

import (
	"log/slog"
	"maps"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"github.com/drystone-store/drystone/services/kit/log"
)

const (
	// maxInFlightDefault bounds unary calls: far above what two cores can work on, below what would fill the memory.
	maxInFlightDefault = 1024
	// maxStreamsDefault bounds open streams, which are long-lived and mostly idle.
	maxStreamsDefault = 4096
	// graceDefault is how long a stopping server waits for calls that run: less than Kubernetes' 30 s.
	graceDefault = 10 * time.Second
	// tracerName is the instrumentation scope of spans made here.
	tracerName = "github.com/drystone-store/drystone/services/kit/rpc"
)

// ServerOptions configure a Server. The zero value works.
type ServerOptions struct {
	// Name is the service's name in logs and errors.
	Name string
	// Log gets one line a request; nil: none.
	Log *slog.Logger
	// LogLevel of the lines of successful calls; nil: Debug. Server faults are Warn always.
	LogLevel slog.Leveler
	// Metrics may be nil.
	Metrics prometheus.Registerer
	// Tracer may be nil: the process's tracer provider then, which app.Main sets.
	Tracer trace.TracerProvider
	// Unary and Stream run inside the server's own chain, in this order, on both transports.
	Unary  []grpc.UnaryServerInterceptor
	Stream []grpc.StreamServerInterceptor
	// MaxInFlight bounds unary calls at a time; 0: 1,024. Calls beyond are refused with RESOURCE_EXHAUSTED/OVERLOADED.
	// Streams do not count here: long-lived ones would eat the bound.
	MaxInFlight int
	// MaxStreams bounds open streams likewise; 0: 4,096.
	MaxStreams int
	// Bulk names fields that are sent over the network without a copy; see there.
	Bulk BulkFields
	// Grace bounds how long Serve waits for running calls after its ctx ended; 0: 10 s.
	Grace time.Duration
	// Notice is for how long Serve goes on after its ctx ended, with health saying NOT_SERVING: as long as a load balancer
	// needs to send its clients elsewhere; 0: not at all. Callers of the mesh need none, they turn to another replica.
	Notice time.Duration
}

// Server answers RPCs from the network and from this process. It is a grpc.ServiceRegistrar; health and reflection are
// registered. All services must be registered before the first call.
type Server struct {
	name     string
	log      *slog.Logger
	logLevel slog.Leveler
	tracer   trace.Tracer
	metrics  serverMetrics
	grace    time.Duration
	notice   time.Duration

	grpc   *grpc.Server
	health *health.Server
	unary  grpc.UnaryServerInterceptor
	stream grpc.StreamServerInterceptor

	methods atomic.Pointer[map[string]*method]
	calls   *load
	streams *load
	drain   *drain
	serving atomic.Bool
}

// NewServer makes a server. It serves in-process calls at once, network calls while Serve runs.
func NewServer(o ServerOptions) *Server {
	s := &Server{
		name: o.Name, log: o.Log, logLevel: o.LogLevel, grace: o.Grace, notice: o.Notice,
		drain: newDrain(), health: health.NewServer(),
	}
	if s.log == nil {
		s.log = log.Discard()
	}
	if s.logLevel == nil {
		s.logLevel = slog.LevelDebug
	}
	if s.grace <= 0 {
		s.grace = graceDefault
	}
	provider := o.Tracer
	if provider == nil {
		provider = otel.GetTracerProvider()
	}
	s.tracer = provider.Tracer(tracerName)
	s.metrics = newServerMetrics(o.Metrics, s.log)
	s.calls = newLoad(o.MaxInFlight, maxInFlightDefault, s.metrics.inFlight.WithLabelValues(o.Name, "unary"))
	s.streams = newLoad(o.MaxStreams, maxStreamsDefault, s.metrics.inFlight.WithLabelValues(o.Name, "stream"))
	s.unary = chainUnary(append([]grpc.UnaryServerInterceptor{s.interceptUnary}, o.Unary...))
	s.stream = chainStream(append([]grpc.StreamServerInterceptor{s.interceptStream}, o.Stream...))
	s.methods.Store(&map[string]*method{})
	transport := serverTransport(s.unary, s.stream, uint32(s.streams.limit))
	if len(o.Bulk) > 0 {
		transport = append(transport, grpc.ForceServerCodecV2(newCodec(o.Bulk)))
	}
	s.grpc = grpc.NewServer(transport...)
	healthv1.RegisterHealthServer(s, s.health)
	reflection.Register(s)
	s.SetServing(true)
	return s
}

// RegisterService adds a service. It panics after Serve has begun, as grpc.Server does.
func (s *Server) RegisterService(desc *grpc.ServiceDesc, impl any) {
	s.grpc.RegisterService(desc, impl)
	methods := maps.Clone(*s.methods.Load())
	for _, d := range desc.Methods {
		m := s.metrics.method(desc.ServiceName, d.MethodName)
		m.impl, m.unary = impl, d.Handler
		methods[m.full] = m
	}
	for i := range desc.Streams {
		m := s.metrics.method(desc.ServiceName, desc.Streams[i].StreamName)
		m.impl, m.stream = impl, &desc.Streams[i]
		methods[m.full] = m
	}
	s.methods.Store(&methods)
}

// GetServiceInfo lists the registered services, for reflection.
func (s *Server) GetServiceInfo() map[string]grpc.ServiceInfo { return s.grpc.GetServiceInfo() }

// SetServing sets the health service's answer and what Registry.Ready says. Calls are served either way. A new server
// is serving; one that has to load something first says false until then.
func (s *Server) SetServing(serving bool) {
	s.serving.Store(serving)
	status := healthv1.HealthCheckResponse_NOT_SERVING
	if serving {
		status = healthv1.HealthCheckResponse_SERVING
	}
	s.health.SetServingStatus("", status)
}

func (s *Server) method(full string) *method { return (*s.methods.Load())[full] }
