// Package chunkserver is a node: it stores columns of volumes as chunks on its disks. README.md says for whom and what
// happens when it is down, FORMAT.md what lies on the disks.
package chunkserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/chunkserver/internal/membership"
	"github.com/drystone-store/drystone/services/chunkserver/internal/node"
	"github.com/drystone-store/drystone/services/chunkserver/internal/scrub"
	"github.com/drystone-store/drystone/services/chunkserver/internal/server"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
	"github.com/drystone-store/drystone/services/kit/app"
	"github.com/drystone-store/drystone/services/kit/kube"
	"github.com/drystone-store/drystone/services/kit/rpc"
)

const (
	// closeTimeout bounds the wait for disks at the end: one that hangs must not keep the process.
	closeTimeout = 10 * time.Second
	// placementTimeout is the deadline of calls to placement that have none.
	placementTimeout = 2 * time.Second
	// dataField is the number of the field `data` in AppendRequest and ReadChunkResponse.
	dataField = 15
)

// Service is a chunk-server.
type Service struct {
	config   Config
	log      *slog.Logger
	registry *rpc.Registry
	node     *node.Node
	kube     kubeNodes
	server   *rpc.Server
	handlers *server.Service
	replicas map[string]placementv1.MembershipServiceClient
	conns    []rpc.Conn
}

// New makes a service; nothing is opened before Run. Errors: an invalid configuration, a metric that cannot be
// registered, a target that cannot be dialed.
func New(cfg Config, env app.Env) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure chunkserver: %w", err)
	}
	log := env.Log.With(slog.String("node", cfg.Name))
	s := &Service{
		config: cfg.withDefaults(), log: log, registry: env.Registry,
		replicas: map[string]placementv1.MembershipServiceClient{},
	}
	var err error
	if cfg.Place.Node != "" {
		if s.kube, err = kube.InCluster(); err != nil {
			return nil, fmt.Errorf("place.node: %w", err)
		}
	}
	s.node, err = node.New(node.Options{
		FS: vfs.OS{}, Name: cfg.Name, Paths: absolute(cfg.Disks), NoFormat: cfg.NoFormat, Log: log, Metrics: env.Metrics,
	})
	if err != nil {
		return nil, err
	}
	for i, target := range cfg.Placement {
		conn, err := env.Dialer.Dial(target, rpc.ConnOptions{Peer: "placement", Timeout: placementTimeout})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("dial placement: %w", err), s.closeConns())
		}
		s.conns = append(s.conns, conn)
		s.replicas[fmt.Sprintf("placement-%d", i+1)] = placementv1.NewMembershipServiceClient(conn)
	}
	s.handlers = server.New(s.node)
	s.server = rpc.NewServer(rpc.ServerOptions{
		Name: cfg.Name, Log: log, Metrics: env.Metrics,
		// Appended bytes stay as they are until they are answered, read ones are the response's own.
		Bulk: rpc.BulkFields{"drystone.chunk.v1.AppendRequest": dataField, "drystone.chunk.v1.ReadChunkResponse": dataField},
	})
	s.server.SetServing(false)
	chunkv1.RegisterChunkServiceServer(s.server, s.handlers)
	return s, nil
}

// absolute makes paths independent of where the process goes; one that cannot be stays, and fails where it is opened.
func absolute(paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = p
		if abs, err := filepath.Abs(p); err == nil {
			out[i] = abs
		}
	}
	return out
}

// Server answers this node's RPCs; UNAVAILABLE until Run has opened the disks.
func (s *Service) Server() *rpc.Server { return s.server }

// Run opens the disks, serves, keeps the node known to placement and verifies what it stores, until ctx ends; then it
// fences what is open and releases the disks. It runs once. Errors: disks that do not fit together or are used by
// another process, addresses that cannot be listened on.
func (s *Service) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, s.closeConns()) }()
	s.registry.Register(s.config.Name, s.server)
	defer s.registry.Remove(s.config.Name, s.server)
	listeners, err := s.listen(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.closeNode(context.WithoutCancel(ctx))) }()
	if err := s.node.Open(); err != nil {
		for _, l := range listeners {
			err = errors.Join(err, l.Close())
		}
		return err
	}
	working, stop := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	tasks.Go(func() { s.join(working, listeners) })
	tasks.Go(func() { s.scrubber().Run(working) })
	s.log.Info("disks are open", slog.Int("disks", len(s.node.Disks())))
	err = s.server.Serve(ctx, listeners...)
	stop()
	tasks.Wait()
	return err
}

// closeNode waits for changes under way and releases the disks.
func (s *Service) closeNode(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	err := s.node.Close(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.handlers.Wait()
	}()
	select {
	case <-done:
	case <-ctx.Done(): // a disk hangs; its handlers end with it
	}
	return err
}

func (s *Service) closeConns() error {
	var errs []error
	for _, c := range s.conns {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

func (s *Service) listen(ctx context.Context) ([]net.Listener, error) {
	var out []net.Listener
	for _, address := range []string{s.config.Listen, unixAddress(s.config.Socket)} {
		if address == "" {
			continue
		}
		l, err := rpc.Listen(ctx, address)
		if err != nil {
			for _, open := range out {
				err = errors.Join(err, open.Close())
			}
			return nil, err
		}
		out = append(out, l)
	}
	return out, nil
}

func unixAddress(path string) string {
	if path == "" {
		return ""
	}
	return "unix:" + path
}

// join keeps the node known to placement until ctx ends, from when it knows its place. What is stored is served meanwhile,
// but the node is not ready.
func (s *Service) join(ctx context.Context, listeners []net.Listener) {
	zone, rack, ok := s.place(ctx)
	if !ok {
		return
	}
	s.server.SetServing(true)
	membership.New(membership.Options{
		Node: &placementv1.Node{
			Place:   &typesv1.Place{Zone: zone, Rack: rack, Node: s.config.Name},
			Address: s.address(listeners), Socket: s.config.Socket, BootId: s.bootID(),
		},
		Disks: s.node, Replicas: s.replicas, Log: s.log,
	}).Run(ctx)
}

// address is what peers dial.
func (s *Service) address(listeners []net.Listener) string {
	switch {
	case s.config.Advertise != "":
		return s.config.Advertise
	case s.config.Listen != "":
		return listeners[0].Addr().String() // with the port that was chosen, if none was given
	default:
		return "inproc:" + s.config.Name
	}
}

// bootID names this boot of this host for peers that look for the socket; empty when there is none.
func (s *Service) bootID() string {
	if s.config.Socket == "" {
		return ""
	}
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		s.log.Warn("peers will not use the socket: the host's boot id is not known", slog.Any("error", err))
		return ""
	}
	return strings.TrimSpace(string(text))
}

func (s *Service) scrubber() *scrub.Scrubber {
	return scrub.New(scrub.Options{
		Disks: func() []scrub.Disk {
			var out []scrub.Disk
			for _, d := range s.node.Disks() {
				out = append(out, d)
			}
			return out
		},
		Interval: s.config.Scrub.Interval, BytesPerSecond: int64(s.config.Scrub.Rate), Log: s.log,
	})
}
