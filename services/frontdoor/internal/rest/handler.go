// Package rest serves the public API over HTTP. grpc-gateway's generated handlers route and translate, over a
// connection inside this process, so every call runs through the same interceptors and handlers as over gRPC. What
// HTTP has and gRPC has not lives here: raw bodies, headers, statuses, ranges, trailers, deadlines of slow clients.
//
// Constraints:
//
//  1. No http.ServeMux stands before the gateway: it would redirect to cleaned paths, and keys hold `..` and `//`.
//  2. A path is unescaped exactly once, by net/http.
//  3. The body of an upload is not touched before the handler asked for it: who is refused sends nothing
//     (100-continue).
//  4. Once a byte of an object was written, an error ends the connection: nobody may take a part for the whole.
//  5. Buffers go back to their pool only after the handler they were handed to has returned.
package rest

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/frontdoor/internal/auth"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/log"
	"github.com/drystone-store/drystone/services/kit/rpc"
)

// Options configure a Handler.
type Options struct {
	// Conn leads to the public services.
	Conn grpc.ClientConnInterface
	Auth *auth.Authenticator
	// Ready says what stands between this front-door and serving; the names go to whoever asks /readyz.
	Ready func(context.Context) []Check
	// OpenAPI is the document as generated.
	OpenAPI []byte
	Log     *slog.Logger
	// Grace is how long requests that run may take to end at a stop.
	Grace time.Duration
	// Notice is for how long a stopping front-door goes on taking requests, while it says so.
	Notice time.Duration
	// Metrics may be nil.
	Metrics prometheus.Registerer
}

// Check is one condition of readiness.
type Check struct {
	Name string
	// Err is why it does not hold; nil if it does.
	Err error
}

// Handler is the HTTP front.
type Handler struct {
	gateway http.Handler
	auth    *auth.Authenticator
	ready   func(context.Context) []Check
	openAPI []byte
	log     *slog.Logger
	metrics metrics
	grace   time.Duration
	notice  time.Duration
	// stopping: /readyz says so, and each answer ends its connection.
	stopping atomic.Bool
	buffers  block.Pool
}

// New makes a Handler. Errors: an OpenAPI document that does not parse, metrics that exist already.
func New(o Options) (*Handler, error) {
	document, err := describe(o.OpenAPI)
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(o.Metrics)
	if err != nil {
		return nil, err
	}
	gateway, err := newGateway(o.Conn)
	if err != nil {
		return nil, err
	}
	return &Handler{
		gateway: gateway, auth: o.Auth, ready: o.Ready, openAPI: document, log: o.Log, metrics: m,
		grace: o.Grace, notice: o.Notice,
	}, nil
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := newExchange(w, r)
	w.Header().Set(headerRequestID, x.id)
	w.Header().Set(headerDrystoneRequestID, x.id)
	if h.stopping.Load() {
		w.Header().Set("Connection", "close") // over HTTP/2 the connection takes no new requests from then on
	}
	ctx, wait := rpc.TrackHandlers(log.WithCorrelation(r.Context(), x.id))
	x.handlers = wait
	ctx = context.WithValue(ctx, exchangeKey{}, x)
	defer func() {
		p := recover()
		// The gateway has cancelled its call by now. Handlers that still run hold our buffers.
		wait()
		x.close()
		if p != nil {
			h.recovered(ctx, x, p)
		}
		h.account(ctx, x)
		if x.aborted {
			panic(http.ErrAbortHandler)
		}
	}()
	h.serve(ctx, x)
}

func (h *Handler) serve(ctx context.Context, x *exchange) {
	r := x.request
	if h.open(ctx, x) {
		return
	}
	tenant, err := h.auth.Check(r.Header.Get("Authorization"))
	if err != nil {
		writeError(x, err)
		return
	}
	log.SetTenant(ctx, tenant)
	if err := checkQuery(r); err != nil {
		writeError(x, err)
		return
	}
	r = r.WithContext(ctx)
	bucket, key, isObject := objectPath(r.URL.Path)
	switch {
	case r.Method == http.MethodPut && isObject:
		spec, err := putSpec(r, bucket, key)
		if err != nil {
			writeError(x, err)
			return
		}
		x.upload = newUpload(x, spec, &h.buffers)
		r = r.WithContext(rpc.WithSource(ctx, source{x.upload}))
		r.Body = x.upload
	case r.Method == http.MethodPut:
		r.Body = http.MaxBytesReader(x.ResponseWriter, r.Body, maxJSONBody)
	default:
		// The generated handlers drain bodies that they have no use for.
		r.Body = http.NoBody
	}
	if isObject && key == "" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		r.URL.Path = r.URL.Path[:len(r.URL.Path)-1] // No key is empty: it is the listing.
	}
	// There is one marshaler, whatever a client accepts or sends; and trailers of responses are gRPC's, offering them
	// would cost the Content-Length.
	for _, name := range []string{"Accept", "Content-Type", "Te"} {
		r.Header.Del(name)
	}
	h.gateway.ServeHTTP(x, r)
}

// recovered ends an exchange whose handler panicked. http.ErrAbortHandler means that the client must not take what it
// got for an answer; anything else is a bug.
func (h *Handler) recovered(ctx context.Context, x *exchange, p any) {
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		x.aborted = true
		return
	}
	h.log.ErrorContext(ctx, "panic in an http handler", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
	if x.status != 0 {
		x.aborted = true
		return
	}
	writeError(x, fault.Bug("panic: %v", p))
}
