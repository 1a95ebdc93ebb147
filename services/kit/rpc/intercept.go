package rpc

import (
	"context"
	"log/slog"
	"runtime/debug"
	"time"

	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/log"
)

// call is one request while it is handled.
type call struct {
	server *Server
	method *method
	hop    *hop
	span   trace.Span
	begin  time.Time
}

func (s *Server) interceptUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	ctx, c := s.enter(ctx, s.method(info.FullMethod))
	defer func() {
		if p := recover(); p != nil {
			resp, err = nil, c.panicked(ctx, p)
		}
		if err = c.leave(ctx, err); err != nil {
			resp = nil
		}
	}()
	if err := s.calls.enter(s.name); err != nil {
		return nil, err
	}
	defer s.calls.leave()
	return handler(ctx, req)
}

func (s *Server) interceptStream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	ctx, c := s.enter(ss.Context(), s.method(info.FullMethod))
	defer func() {
		if p := recover(); p != nil {
			err = c.panicked(ctx, p)
		}
		err = c.leave(ctx, err)
	}()
	if err := s.streams.enter(s.name); err != nil {
		return err
	}
	defer s.streams.leave()
	return handler(srv, &serverStream{ServerStream: ss, ctx: ctx})
}

// serverStream has the context that the interceptor made.
type serverStream struct {
	grpc.ServerStream
	ctx context.Context // that is what a ServerStream is
}

func (s *serverStream) Context() context.Context { return s.ctx }

// enter makes the handler's context: correlation id, caller, span.
func (s *Server) enter(ctx context.Context, m *method) (context.Context, call) {
	c := call{server: s, method: m, begin: clock.Now()}
	h, ok := ctx.(*hop)
	if ok {
		id := first(h.metadata, correlationHeader)
		if id == "" {
			id = log.Correlation(h.Context)
		}
		h.scope.Init(id)
	} else {
		md, _ := metadata.FromIncomingContext(ctx)
		h = &hop{Context: extractTrace(ctx, md), server: s, caller: first(md, callerHeader)}
		h.scope.Init(first(md, correlationHeader))
	}
	c.hop = h
	ctx, c.span = s.tracer.Start(h, m.full[1:], m.spanOptions...)
	return ctx, c
}

// leave ends a request: its error becomes one that may cross the wire, its line is logged, its time observed.
func (c *call) leave(ctx context.Context, err error) error {
	elapsed := clock.Since(c.begin)
	code := codes.OK
	var f *fault.Error
	if err != nil {
		f = fault.From(err)
		code = f.Code()
	}
	c.method.seconds.observe(code, elapsed.Seconds())
	if level := c.level(code); c.server.log.Enabled(ctx, level) {
		c.line(ctx, level, code, f, err, elapsed)
	}
	if c.span.IsRecording() && serverFault(code) {
		c.span.SetStatus(otelcodes.Error, f.Error())
	}
	c.span.End()
	if f == nil {
		return nil
	}
	return f
}

func (c *call) level(code codes.Code) slog.Level {
	if serverFault(code) {
		return slog.LevelWarn
	}
	return c.server.logLevel.Level()
}

// line is the canonical line of a request; correlationId and tenantId come from the context. The error's text is only
// there for server faults: messages of others may name keys.
func (c *call) line(ctx context.Context, level slog.Level, code codes.Code, f *fault.Error, err error, elapsed time.Duration) {
	attrs := make([]slog.Attr, 0, 6)
	attrs = append(attrs,
		slog.String("op", c.method.full[1:]),
		slog.String("code", code.String()),
		slog.Float64("latencyMs", float64(elapsed.Microseconds())/1e3),
		slog.String("peer", c.peer(ctx)),
	)
	if f != nil {
		attrs = append(attrs, slog.String("reason", fault.Name(f.Reason())))
		if serverFault(code) {
			attrs = append(attrs, log.Error(err))
		}
	}
	c.server.log.LogAttrs(ctx, level, "request", attrs...)
}

func (c *call) peer(ctx context.Context) string {
	if c.hop.caller != "" {
		return c.hop.caller
	}
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		return p.Addr.String()
	}
	return ""
}

// panicked makes a panic an error and logs where it was.
func (c *call) panicked(ctx context.Context, p any) error {
	c.server.log.LogAttrs(ctx, slog.LevelError, "panic in a handler",
		slog.String("op", c.method.full[1:]), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
	return fault.Bug("panic: %v", p)
}

// serverFault says that an outcome is not the caller's doing. Shedding load is, and so are refusals.
func serverFault(code codes.Code) bool {
	switch code {
	case codes.Internal, codes.Unknown, codes.DataLoss, codes.Unavailable, codes.DeadlineExceeded:
		return true
	case codes.OK, codes.Canceled, codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied,
		codes.ResourceExhausted, codes.FailedPrecondition, codes.Aborted, codes.OutOfRange, codes.Unimplemented,
		codes.Unauthenticated:
		return false
	}
	return true
}

// chainUnary makes one interceptor of many, the first outermost.
func chainUnary(chain []grpc.UnaryServerInterceptor) grpc.UnaryServerInterceptor {
	if len(chain) == 1 {
		return chain[0]
	}
	rest := chainUnary(chain[1:])
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		return chain[0](ctx, req, info, func(ctx context.Context, req any) (any, error) {
			return rest(ctx, req, info, handler)
		})
	}
}

// chainStream makes one interceptor of many, the first outermost.
func chainStream(chain []grpc.StreamServerInterceptor) grpc.StreamServerInterceptor {
	if len(chain) == 1 {
		return chain[0]
	}
	rest := chainStream(chain[1:])
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		return chain[0](srv, ss, info, func(srv any, ss grpc.ServerStream) error {
			return rest(srv, ss, info, handler)
		})
	}
}
