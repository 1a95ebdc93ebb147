package rpc

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	otelcodes "go.opentelemetry.io/otel/codes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/breaker"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/limit"
	"github.com/drystone-store/drystone/services/kit/log"
)

// patience is the least time that a call must have had before its passed deadline speaks against the peer: a caller
// that came with a millisecond left proves nothing.
const patience = 50 * time.Millisecond

// conn is a Conn over either transport.
type conn struct {
	dialer         *Dialer
	peer           string
	timeout        time.Duration
	class          func(string) string
	transport      grpc.ClientConnInterface
	network        bool
	codec          *codec // of the network, nil when no field is bulk
	closeTransport func() error
	bound          *limit.Limiter
	refused        prometheus.Counter
	retry          *retryBudget

	methods  sync.Map // full name → *clientMethod
	mu       sync.Mutex
	breakers map[string]*breaker.Breaker // by class, guarded by mu
}

// clientMethod is what a conn knows of one RPC.
type clientMethod struct {
	full    string
	breaker *breaker.Breaker
	seconds observers
}

// Close ends the connection; calls that run fail.
func (c *conn) Close() error { return c.closeTransport() }

// Invoke makes a unary call. Errors are *fault.Error.
func (c *conn) Invoke(ctx context.Context, full string, req, resp any, opts ...grpc.CallOption) error {
	m := c.method(full)
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	if err := c.bound.Acquire(ctx); err != nil {
		if fault.Code(err) == codes.ResourceExhausted {
			c.refused.Inc()
		}
		return err
	}
	defer c.bound.Release()
	err := c.attempt(ctx, m, req, resp, opts)
	if c.retry == nil {
		return err
	}
	return c.again(ctx, err, func() error { return c.attempt(ctx, m, req, resp, opts) })
}

// attempt makes one call behind the breaker.
func (c *conn) attempt(ctx context.Context, m *clientMethod, req, resp any, opts []grpc.CallOption) error {
	done, err := m.breaker.Allow()
	if err != nil {
		m.seconds.observe(codes.Unavailable, 0)
		return err
	}
	begin := clock.Now()
	f := c.explain(c.send(ctx, m, req, resp, opts))
	elapsed := clock.Since(begin)
	c.report(done, f, elapsed)
	if f == nil {
		m.seconds.observe(codes.OK, elapsed.Seconds())
		return nil
	}
	m.seconds.observe(f.Code(), elapsed.Seconds())
	c.logFailure(ctx, m.full, f)
	return f
}

// send goes over the transport; the network gets what a context carries in process.
func (c *conn) send(ctx context.Context, m *clientMethod, req, resp any, opts []grpc.CallOption) error {
	if !c.network {
		return c.transport.Invoke(ctx, m.full, req, resp, opts...)
	}
	ctx, span := c.dialer.tracer.Start(ctx, m.full[1:], clientSpan()...)
	defer span.End()
	if lent, _ := ctx.Value(lentKey{}).([]byte); lent != nil && c.codec != nil {
		c.codec.lend(resp, lent)
	}
	err := c.transport.Invoke(c.outgoing(ctx), m.full, req, resp, opts...)
	if err != nil && span.IsRecording() {
		span.SetStatus(otelcodes.Error, err.Error())
	}
	return err
}

// outgoing adds correlation id, caller and trace to the metadata.
func (c *conn) outgoing(ctx context.Context) context.Context {
	id := log.Correlation(ctx)
	if id == "" {
		id = log.NewCorrelation()
	}
	if parent := injectTrace(ctx); parent != "" {
		return metadata.AppendToOutgoingContext(ctx, correlationHeader, id, callerHeader, c.dialer.caller, traceHeader, parent)
	}
	return metadata.AppendToOutgoingContext(ctx, correlationHeader, id, callerHeader, c.dialer.caller)
}

// report tells the breaker what a call showed of the peer.
func (c *conn) report(done func(error), f *fault.Error, elapsed time.Duration) {
	switch {
	case f == nil:
		done(nil)
	case f.Code() == codes.DeadlineExceeded && elapsed < patience:
		done(context.Canceled) // ignored: too little time to judge
	default:
		done(f)
	}
}

// explain makes a transport's error one of ours. What gRPC made itself (no reason) gets the reason of its code; its
// text, which holds addresses, becomes the cause.
func (c *conn) explain(err error) *fault.Error {
	if err == nil {
		return nil
	}
	f := fault.From(err)
	if f.Reason() != typesv1.Reason_REASON_UNSPECIFIED {
		return f
	}
	switch f.Code() {
	case codes.Unavailable:
		return fault.Wrap(err, codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE, "%s cannot be reached", c.peer)
	case codes.DeadlineExceeded:
		return fault.Wrap(err, codes.DeadlineExceeded, typesv1.Reason_REASON_DEADLINE_EXCEEDED, "%s did not answer in time", c.peer)
	case codes.Internal, codes.Unknown:
		return fault.Wrap(err, codes.Internal, typesv1.Reason_REASON_INTERNAL, "%s: internal error", c.peer)
	default:
		return f
	}
}

func (c *conn) logFailure(ctx context.Context, full string, f *fault.Error) {
	if !c.dialer.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	c.dialer.log.LogAttrs(ctx, slog.LevelDebug, "call failed", slog.String("op", full[1:]), slog.String("peer", c.peer),
		slog.String("code", f.Code().String()), slog.String("reason", fault.Name(f.Reason())), log.Error(f))
}

func (c *conn) method(full string) *clientMethod {
	if m, ok := c.methods.Load(full); ok {
		return m.(*clientMethod)
	}
	class := full
	if c.class != nil {
		class = c.class(full)
	}
	service, name, _ := strings.Cut(strings.TrimPrefix(full, "/"), "/")
	m := &clientMethod{full: full, breaker: c.breaker(class), seconds: newObservers(c.dialer.metrics.seconds, service, name)}
	stored, _ := c.methods.LoadOrStore(full, m)
	return stored.(*clientMethod)
}

func (c *conn) breaker(class string) *breaker.Breaker {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b, ok := c.breakers[class]; ok {
		return b
	}
	if c.breakers == nil {
		c.breakers = map[string]*breaker.Breaker{}
	}
	b := c.dialer.newBreaker(c.peer, strings.TrimPrefix(class, "/"))
	c.breakers[class] = b
	return b
}
