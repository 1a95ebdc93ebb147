package repair

import (
	"context"
	"errors"
	"fmt"
	"net"

	"golang.org/x/sync/errgroup"

	repairv1 "github.com/drystone-store/drystone/proto/gen/drystone/repair/v1"
	"github.com/drystone-store/drystone/services/datapath/nodes"
	"github.com/drystone-store/drystone/services/kit/app"
	"github.com/drystone-store/drystone/services/kit/rpc"
	"github.com/drystone-store/drystone/services/repair/internal/cluster"
	"github.com/drystone-store/drystone/services/repair/internal/server"
)

// Target is the name of the service in the process's registry: peers in this process dial "inproc:repair".
const Target = "repair"

// maxInFlight bounds calls at a time: each walks the whole volume map.
const maxInFlight = 4

// Service is a repair replica.
type Service struct {
	listen    string
	registry  *rpc.Registry
	placement *nodes.Placement
	topology  *nodes.Topology
	server    *rpc.Server
}

// New makes a service; it connects to nothing before Run. Errors: an invalid configuration.
func New(cfg Config, env app.Env) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure repair: %w", err)
	}
	placement, err := nodes.DialPlacement(env.Dialer, cfg.Placement)
	if err != nil {
		return nil, fmt.Errorf("reach placement: %w", err)
	}
	s := &Service{
		listen: cfg.Listen, registry: env.Registry, placement: placement,
		topology: nodes.NewTopology(placement.Client(), env.Log),
		server: rpc.NewServer(rpc.ServerOptions{
			Name: Target, Log: env.Log, Metrics: env.Metrics, MaxInFlight: maxInFlight,
		}),
	}
	s.server.SetServing(false)
	repairv1.RegisterRepairServiceServer(s.server, server.New(cluster.New(placement.Client(), s.topology)))
	return s, nil
}

// Server answers this replica's RPCs.
func (s *Service) Server() *rpc.Server { return s.server }

// Run serves until ctx ends, then stops everything that it started. It runs once.
func (s *Service) Run(ctx context.Context) error {
	var listeners []net.Listener
	if s.listen != "" {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.listen)
		if err != nil {
			return errors.Join(fmt.Errorf("listen: %w", err), s.placement.Close())
		}
		listeners = append(listeners, listener)
	}
	s.registry.Register(Target, s.server)
	defer s.registry.Remove(Target, s.server)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.server.Serve(ctx, listeners...) })
	group.Go(func() error { return s.topology.Run(ctx) })
	group.Go(func() error {
		if s.topology.WaitReady(ctx) == nil {
			s.server.SetServing(true)
		}
		return nil
	})
	return errors.Join(group.Wait(), s.placement.Close())
}
