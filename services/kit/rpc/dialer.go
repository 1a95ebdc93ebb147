package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/drystone-store/drystone/services/kit/breaker"
	"github.com/drystone-store/drystone/services/kit/limit"
	"github.com/drystone-store/drystone/services/kit/log"
)

const (
	// inprocScheme begins targets of this process.
	inprocScheme = "inproc:"
	// timeoutDefault is the deadline of a unary call whose context has none.
	timeoutDefault = 10 * time.Second
	// peerInFlightDefault bounds unary calls to one peer at a time.
	peerInFlightDefault = 256
	// queuePerSlot bounds how many calls wait for each slot to a peer: a burst passes, a backlog does not build.
	queuePerSlot = 4
)

// DialerOptions configure a Dialer. The zero value works, without in-process targets.
type DialerOptions struct {
	Log     *slog.Logger
	Metrics prometheus.Registerer
	// Registry resolves "inproc:<name>" targets.
	Registry *Registry
	// Caller is this service's name, for the logs of its peers.
	Caller string
	// Tracer may be nil: the process's tracer provider then, which app.Main sets.
	Tracer trace.TracerProvider
	// Lookup resolves the names in targets; nil: the system does.
	Lookup Lookup
}

// Dialer makes connections to peers.
type Dialer struct {
	log      *slog.Logger
	registry *Registry
	caller   string
	tracer   trace.Tracer
	metrics  clientMetrics
	lookup   Lookup
}

// NewDialer makes a dialer.
func NewDialer(o DialerOptions) *Dialer {
	d := &Dialer{log: o.Log, registry: o.Registry, caller: o.Caller, lookup: o.Lookup}
	if d.lookup == nil {
		d.lookup = systemLookup
	}
	if d.log == nil {
		d.log = log.Discard()
	}
	if d.registry == nil {
		d.registry = NewRegistry()
	}
	if d.caller == "" {
		d.caller = "unnamed"
	}
	provider := o.Tracer
	if provider == nil {
		provider = otel.GetTracerProvider()
	}
	d.tracer = provider.Tracer(tracerName)
	d.metrics = newClientMetrics(o.Metrics, d.log)
	return d
}

// ConnOptions configure a Conn. The zero value works.
type ConnOptions struct {
	// Peer names the peer in metrics, logs and errors: a node or service name, never an address. Empty: the target
	// when it is in process, else "peer".
	Peer string
	// MaxInFlight bounds unary calls at a time; 0: 256. Up to four times as many wait for a slot, until their deadline;
	// more are refused with RESOURCE_EXHAUSTED/OVERLOADED. Streams do not count.
	MaxInFlight int
	// Timeout is the deadline of unary calls whose context has none; 0: 10 s. A caller's own deadline is never
	// prolonged.
	Timeout time.Duration
	// Retry repeats unary calls that were answered UNAVAILABLE, at most twice, within the deadline and a budget of
	// a tenth of the calls. Only for connections whose every method is idempotent.
	Retry bool
	// Bulk names fields that are sent over the network without a copy; see there.
	Bulk BulkFields
	// Class groups methods under one breaker; nil: each method ("/pkg.Service/Method") is a class.
	Class func(method string) string
}

// Conn is a connection to one peer (or to equal replicas behind one name). Its calls pass a breaker, a bound and
// interceptors; their errors are *fault.Error with a reason. Close is needed once no call runs any more.
type Conn interface {
	grpc.ClientConnInterface
	Close() error
}

// Dial makes a connection; it never blocks and does not connect before the first call. Targets: "inproc:<name>",
// "host:port", "dns:///host:port", "unix:/path". Names are looked up every few seconds, and within one when a peer cannot
// be reached; calls go in turn to all addresses of a name. Where one of these may hang or die, DialReplicas is better: this
// has one breaker for all of them. Errors: a target that does not parse.
func (d *Dialer) Dial(target string, o ConnOptions) (Conn, error) {
	c := &conn{dialer: d, peer: o.Peer, timeout: o.Timeout, class: o.Class, closeTransport: func() error { return nil }}
	name, inProcess := strings.CutPrefix(target, inprocScheme)
	switch {
	case inProcess:
		c.transport = &registered{registry: d.registry, name: name, caller: d.caller}
		if c.peer == "" {
			c.peer = name
		}
	default:
		if endpoint, ok := named(target); ok {
			if _, _, err := hostPort(endpoint); err != nil {
				return nil, err
			}
		}
		options := append(clientTransport(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithResolvers(names{d.lookup}))
		if len(o.Bulk) > 0 {
			c.codec = newCodec(o.Bulk)
			options = append(options, grpc.WithDefaultCallOptions(grpc.ForceCodecV2(c.codec)))
		}
		remote, err := grpc.NewClient(target, options...)
		if err != nil {
			return nil, fmt.Errorf("dial %q: %w", target, err)
		}
		c.transport, c.network, c.closeTransport = remote, true, remote.Close
	}
	if c.peer == "" {
		c.peer = "peer"
	}
	if c.timeout <= 0 {
		c.timeout = timeoutDefault
	}
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = peerInFlightDefault
	}
	bound, err := limit.NewLimiter(limit.LimiterOptions{Name: c.peer, Slots: o.MaxInFlight, Queue: queuePerSlot * o.MaxInFlight})
	if err != nil {
		return nil, fmt.Errorf("dial %q: %w", target, err)
	}
	c.bound, c.refused = bound, d.metrics.refused.WithLabelValues(c.peer)
	if o.Retry {
		c.retry = newRetryBudget()
	}
	return c, nil
}

func (d *Dialer) newBreaker(peer, class string) *breaker.Breaker {
	state := d.metrics.breakerState.WithLabelValues(peer, class)
	return breaker.New(breaker.Options{Peer: peer, Class: class, OnChange: func(from, to breaker.State) {
		state.Set(float64(to))
		d.metrics.breakerChanges.WithLabelValues(peer, class, to.String()).Inc()
		d.log.Log(context.Background(), breakerLevel(from, to), "breaker changed", slog.String("peer", peer),
			slog.String("class", class), slog.String("from", from.String()), slog.String("to", to.String()))
	}})
}

// breakerLevel: that a peer is left alone, and that it is back, is worth a line; that a probe was sent to one that is
// still dead, which happens every second, is not.
func breakerLevel(from, to breaker.State) slog.Level {
	switch {
	case from == gobreaker.StateClosed:
		return slog.LevelWarn
	case to == gobreaker.StateClosed:
		return slog.LevelInfo
	default:
		return slog.LevelDebug
	}
}
