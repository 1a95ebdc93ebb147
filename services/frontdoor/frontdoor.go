package frontdoor

import (
	"context"
	"errors"
	"fmt"
	"net"

	"golang.org/x/sync/errgroup"

	"github.com/drystone-store/drystone/services/frontdoor/internal/auth"
	"github.com/drystone-store/drystone/services/kit/app"
	"github.com/drystone-store/drystone/services/kit/rpc"
)

// Service is a front-door.
type Service struct {
	cfg      Config
	registry *rpc.Registry
	links    *links
	front    *front

	// listening is closed when addrs is set.
	listening chan struct{}
	addrs     Addrs
}

// Addrs are the addresses that a front-door listens on, `host:port`; empty for what is not served.
type Addrs struct {
	REST, GRPC string
}

// New makes a service; it connects to nothing and listens on nothing before Run. Errors: an invalid configuration, a
// token that cannot be read, metrics that exist already.
func New(cfg Config, env app.Env) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure the front-door: %w", err)
	}
	authenticator, err := auth.Load(cfg.TokenFile)
	if err != nil {
		return nil, err
	}
	s := &Service{cfg: cfg, registry: env.Registry, listening: make(chan struct{})}
	if s.links, err = newLinks(cfg, env); err != nil {
		return nil, errors.Join(err, s.links.close())
	}
	s.front, err = newFront(cfg, env, authenticator, mesh{
		metadata:  s.links.metadata.Client(),
		placement: s.links.placement.Client(),
		topology:  s.links.topology,
		writer:    writer{s.links.writer},
		reader:    s.links.reader,
		ready:     s.links.ready,
	})
	if err != nil {
		return nil, errors.Join(err, s.links.close())
	}
	return s, nil
}

// Server answers this front-door's RPCs.
func (s *Service) Server() *rpc.Server { return s.front.server }

// Listening is closed once all listeners accept; Addrs is known from then on.
func (s *Service) Listening() <-chan struct{} { return s.listening }

// Addrs waits for Listening and tells where.
func (s *Service) Addrs() Addrs {
	<-s.listening
	return s.addrs
}

// Run serves until ctx ends, then stops what it started, in order: the listeners, once running requests have ended;
// writing, once volumes are sealed; the connections. It runs once.
func (s *Service) Run(ctx context.Context) error {
	restListener, grpcListener, err := s.listen(ctx)
	if err != nil {
		return errors.Join(err, s.links.close())
	}
	s.registry.Register(Target, s.front.server)
	defer s.registry.Remove(Target, s.front.server)

	links := newLayer(ctx)
	links.group.Go(func() error { return s.links.topology.Run(links.ctx) })
	links.group.Go(func() error { return s.links.peers.Run(links.ctx) })
	work := newLayer(ctx)
	work.group.Go(func() error { return s.links.writer.Run(work.ctx) })
	work.group.Go(func() error { return s.front.run(work.ctx) })

	// The servers do not outlive what they stand on.
	serving, stop := context.WithCancel(ctx)
	defer stop()
	for _, below := range []*layer{links, work} {
		defer context.AfterFunc(below.ctx, stop)()
	}
	close(s.listening)
	return errors.Join(s.front.serve(serving, restListener, grpcListener), work.end(), links.end(), s.links.close())
}

// listen binds what is configured; the lists are empty for what is not.
func (s *Service) listen(ctx context.Context) (restListener, grpcListener []net.Listener, err error) {
	var config net.ListenConfig
	if s.cfg.RESTListen != "" {
		l, err := config.Listen(ctx, "tcp", s.cfg.RESTListen)
		if err != nil {
			return nil, nil, fmt.Errorf("listen for rest: %w", err)
		}
		s.addrs.REST = l.Addr().String()
		restListener = append(restListener, l)
	}
	if s.cfg.GRPCListen != "" {
		l, err := config.Listen(ctx, "tcp", s.cfg.GRPCListen)
		if err != nil {
			err = fmt.Errorf("listen for grpc: %w", err)
			for _, open := range restListener {
				err = errors.Join(err, open.Close())
			}
			return nil, nil, err
		}
		s.addrs.GRPC = l.Addr().String()
		grpcListener = append(grpcListener, l)
	}
	return restListener, grpcListener, nil
}

// layer is what runs below the servers: it lives until end, or until a part of it fails.
type layer struct {
	ctx    context.Context //nolint:containedctx // the layer's life
	cancel context.CancelFunc
	group  *errgroup.Group
}

// newLayer makes a layer that has the values of ctx, but not its end.
func newLayer(ctx context.Context) *layer {
	l := &layer{}
	ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	l.group, l.ctx = errgroup.WithContext(ctx)
	return l
}

func (l *layer) end() error {
	l.cancel()
	return l.group.Wait()
}
