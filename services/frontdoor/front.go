package frontdoor

import (
	"cmp"
	"context"
	"fmt"
	"net"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	"github.com/drystone-store/drystone/proto/gen/openapi"
	"github.com/drystone-store/drystone/services/frontdoor/internal/auth"
	"github.com/drystone-store/drystone/services/frontdoor/internal/bucket"
	"github.com/drystone-store/drystone/services/frontdoor/internal/cluster"
	"github.com/drystone-store/drystone/services/frontdoor/internal/names"
	"github.com/drystone-store/drystone/services/frontdoor/internal/object"
	"github.com/drystone-store/drystone/services/frontdoor/internal/rest"
	"github.com/drystone-store/drystone/services/frontdoor/internal/server"
	"github.com/drystone-store/drystone/services/kit/app"
	"github.com/drystone-store/drystone/services/kit/rpc"
)

// Target is the name of the service in the process's registry: peers in this process dial "inproc:frontdoor".
const Target = "frontdoor"

// mesh is what a front needs of the services behind it.
type mesh struct {
	metadata  metadatav1.MetadataServiceClient
	placement cluster.Placement
	topology  cluster.Topology
	writer    object.Writer
	reader    object.Reader
	// ready adds what only the real mesh knows.
	ready func() []rest.Check
}

// front is everything between the listeners and the mesh.
type front struct {
	names     *names.Client
	server    *rpc.Server
	rest      *rest.Handler
	readiness *readiness
}

// newFront builds the layers: names, domain, gRPC handlers, REST over them.
func newFront(cfg Config, env app.Env, authenticator *auth.Authenticator, m mesh) (*front, error) {
	f := &front{}
	var err error
	if f.names, err = names.New(m.metadata, env.Log, env.Metrics); err != nil {
		return nil, fmt.Errorf("make the client of metadata: %w", err)
	}
	gates, err := object.NewGates(cfg.Budgets.limits(), env.Metrics)
	if err != nil {
		return nil, fmt.Errorf("make the bulkheads: %w", err)
	}
	limits := cfg.Budgets.limits()
	f.server = rpc.NewServer(rpc.ServerOptions{
		Name: Target, Log: env.Log, Metrics: env.Metrics,
		Grace: cmp.Or(cfg.Grace, defaultGrace) + restHeadStart, Notice: cfg.Notice,
		Unary:  []grpc.UnaryServerInterceptor{authenticator.Unary},
		Stream: []grpc.StreamServerInterceptor{authenticator.Stream},
		// The gates decide; these only stand behind them.
		MaxInFlight: limits.Lists + limits.Others + 2*limits.Queue,
		MaxStreams:  limits.Puts + limits.Gets + 2*limits.Queue,
	})
	f.server.SetServing(false)
	clusters := cluster.New(m.topology, m.placement)
	server.Register(f.server, server.Domain{
		Buckets: bucket.New(f.names, clusters),
		Objects: object.New(object.Deps{Names: f.names, Writer: m.writer, Reader: m.reader, Gates: gates}),
		Cluster: clusters,
		Gates:   gates,
		Version: app.Version(),
	})
	f.readiness = newReadiness(f.names, m.topology, m.ready)
	f.rest, err = rest.New(rest.Options{
		Conn: f.server.InProcess(), Auth: authenticator, Ready: f.readiness.checks, OpenAPI: openapi.JSON,
		Log: env.Log, Metrics: env.Metrics, Grace: cmp.Or(cfg.Grace, defaultGrace), Notice: cfg.Notice,
	})
	if err != nil {
		return nil, fmt.Errorf("make the rest handler: %w", err)
	}
	return f, nil
}

// serve answers on the listeners, which it closes, until ctx ends or one fails, and then stops in good order.
func (f *front) serve(ctx context.Context, restListeners, grpcListeners []net.Listener) error {
	// Requests become calls to the gRPC server in this process: they are to end by the one's stop, not by the other's.
	release := f.server.Hold()
	servers, ctx := errgroup.WithContext(ctx)
	servers.Go(func() error { return f.server.Serve(ctx, grpcListeners...) })
	servers.Go(func() error {
		defer release()
		rest, ctx := errgroup.WithContext(ctx)
		for _, l := range restListeners {
			rest.Go(func() error { return f.rest.Serve(ctx, l) })
		}
		return rest.Wait()
	})
	servers.Go(func() error { return f.readiness.watch(ctx, f.server.SetServing) })
	return servers.Wait()
}

// run keeps what works in the background until ctx ends.
func (f *front) run(ctx context.Context) error { return f.names.Run(ctx) }
