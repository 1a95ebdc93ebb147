package placement

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/kit/app"
	"github.com/drystone-store/drystone/services/kit/rpc"
	"github.com/drystone-store/drystone/services/placement/internal/membership"
	"github.com/drystone-store/drystone/services/placement/internal/policy"
	"github.com/drystone-store/drystone/services/placement/internal/server"
	"github.com/drystone-store/drystone/services/placement/internal/state"
	"github.com/drystone-store/drystone/services/placement/internal/topology"
)

// Target is the name of the service in the process's registry: peers in this process dial "inproc:placement".
const Target = "placement"

const (
	// termLength bounds how long bytes of a dead writer stay unsettled.
	termLength = 10 * time.Minute
	// writerLease is how long a dead writer's volumes wait for repair to seal them. Renewals write nothing, but an etcd
	// election must not end every term.
	writerLease = 15 * time.Second
	// heartbeatEvery is what nodes are told, or a third of suspect_after if that is less.
	heartbeatEvery = time.Second
)

// Service is a placement replica.
type Service struct {
	config     Config
	registry   *rpc.Registry
	state      *state.Store
	membership *membership.Tracker
	topology   *topology.Publisher
	server     *rpc.Server
}

// New makes a service on an etcd client, which stays the caller's; nothing happens before Run.
// Errors: an invalid configuration, a metric that cannot be registered.
func New(cfg Config, env app.Env, etcd *clientv3.Client) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure placement: %w", err)
	}
	s := &Service{config: cfg.withDefaults(), registry: env.Registry}
	if err := s.assemble(env, etcd); err != nil {
		return nil, fmt.Errorf("assemble placement: %w", err)
	}
	return s, nil
}

func (s *Service) assemble(env app.Env, etcd *clientv3.Client) error {
	var err error
	s.state, err = state.New(etcd, state.Options{
		Log: env.Log, Metrics: env.Metrics, TermLength: termLength, WriterLease: writerLease,
	})
	if err != nil {
		return err
	}
	s.membership, err = membership.New(s.state, membership.Options{
		Log: env.Log, Metrics: env.Metrics, SuspectAfter: s.config.SuspectAfter, DownAfter: s.config.DownAfter,
	})
	if err != nil {
		return err
	}
	var scheme erasure.Scheme
	if s.config.DefaultScheme != "" {
		if scheme, err = erasure.Parse(s.config.DefaultScheme); err != nil {
			return err
		}
	}
	places := policy.Policy{VolumeBytes: uint64(s.config.VolumeSize)}
	s.topology, err = topology.New(s.membership, s.state, topology.Options{
		Log: env.Log, Metrics: env.Metrics, Policy: places,
		DefaultScheme: scheme, ExpectedNodes: s.config.ExpectedNodes,
	})
	if err != nil {
		return err
	}
	metrics, err := server.NewMetrics(env.Metrics)
	if err != nil {
		return err
	}
	s.server = rpc.NewServer(rpc.ServerOptions{Name: Target, Log: env.Log, Metrics: env.Metrics})
	s.server.SetServing(false)
	heartbeat := min(heartbeatEvery, s.config.SuspectAfter/3)
	placementv1.RegisterPlacementServiceServer(s.server,
		server.NewPlacement(s.state, s.membership, s.topology, places, metrics))
	placementv1.RegisterMembershipServiceServer(s.server, server.NewMembership(s.state, s.membership, heartbeat))
	return nil
}

// Server answers this replica's RPCs.
func (s *Service) Server() *rpc.Server { return s.server }

// Run serves until ctx ends or etcd is another one, then stops everything that it started. It runs once.
func (s *Service) Run(ctx context.Context) error {
	var listeners []net.Listener
	if s.config.Listen != "" {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.config.Listen)
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		listeners = append(listeners, listener)
	}
	s.registry.Register(Target, s.server)
	defer s.registry.Remove(Target, s.server)

	// The domain outlives the server: calls that still run at the end need it. If the state ends first, so does the server.
	serving, stopServing := context.WithCancel(ctx)
	defer stopServing()
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	var tasks sync.WaitGroup
	var failed error
	tasks.Go(func() {
		defer stopServing()
		failed = s.state.Run(working)
	})
	tasks.Go(func() { s.membership.Run(working) })
	tasks.Go(func() { s.topology.Run(working) })
	tasks.Go(func() {
		select {
		case <-s.state.Loaded():
			s.server.SetServing(true)
		case <-serving.Done():
		}
	})
	err := s.server.Serve(serving, listeners...)
	stop()
	tasks.Wait()
	return errors.Join(err, failed)
}
