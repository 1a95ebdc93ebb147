package metadata

import (
	"context"
	"errors"
	"fmt"
	"net"

	clientv3 "go.etcd.io/etcd/client/v3"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	"github.com/drystone-store/drystone/services/kit/app"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/rpc"
	"github.com/drystone-store/drystone/services/metadata/internal/head"
	"github.com/drystone-store/drystone/services/metadata/internal/hlc"
	"github.com/drystone-store/drystone/services/metadata/internal/names"
	"github.com/drystone-store/drystone/services/metadata/internal/server"
)

// Target is the name of the service in the process's registry: peers in this process dial "inproc:metadata".
const Target = "metadata"

// region is the one region there is so far; versions have room for 256.
const region = 0

// Service is a metadata replica.
type Service struct {
	listen   string
	registry *rpc.Registry
	head     *head.Etcd
	server   *rpc.Server
}

// New makes a service on an etcd client, which stays the caller's; nothing happens before Run.
// Errors: an invalid configuration, a metric that cannot be registered.
func New(cfg Config, env app.Env, etcd *clientv3.Client) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure metadata: %w", err)
	}
	cfg = cfg.withDefaults()
	s := &Service{
		listen: cfg.Listen, registry: env.Registry,
		server: rpc.NewServer(rpc.ServerOptions{Name: Target, Log: env.Log, Metrics: env.Metrics}),
	}
	s.server.SetServing(false) // until the copy is loaded
	versions := hlc.New(clock.Now, region)
	index, err := head.NewEtcd(etcd, head.Options{
		Name: cfg.Name, WindowAge: cfg.Window, TombstoneRetention: cfg.TombstoneRetention,
		Observe: versions.Observe, Ready: s.server.SetServing, Log: env.Log, Metrics: env.Metrics,
	})
	if err != nil {
		return nil, fmt.Errorf("assemble metadata: %w", err)
	}
	s.head = index
	metadatav1.RegisterMetadataServiceServer(s.server, server.New(names.New(index, versions, clock.Now)))
	return s, nil
}

// Server answers this replica's RPCs.
func (s *Service) Server() *rpc.Server { return s.server }

// Run serves until ctx ends or the head cannot be served, then stops everything that it started. It runs once.
func (s *Service) Run(ctx context.Context) error {
	var listeners []net.Listener
	if s.listen != "" {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.listen)
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		listeners = append(listeners, listener)
	}
	s.registry.Register(Target, s.server)
	defer s.registry.Remove(Target, s.server)

	// The head outlives the server: calls that still run at the end need it. If the head ends first, so does the server.
	serving, stopServing := context.WithCancel(ctx)
	defer stopServing()
	working, stopWorking := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWorking()
	ended := make(chan error, 1)
	go func() {
		defer stopServing()
		ended <- s.head.Run(working)
	}()
	err := s.server.Serve(serving, listeners...)
	stopWorking()
	return errors.Join(err, <-ended)
}
