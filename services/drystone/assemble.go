package drystone

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drystone-store/drystone/services/chunkserver"
	"github.com/drystone-store/drystone/services/drystone/internal/head"
	"github.com/drystone-store/drystone/services/frontdoor"
	"github.com/drystone-store/drystone/services/kit/app"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/config"
	"github.com/drystone-store/drystone/services/kit/rpc"
	"github.com/drystone-store/drystone/services/kit/telemetry"
	"github.com/drystone-store/drystone/services/metadata"
	"github.com/drystone-store/drystone/services/placement"
	"github.com/drystone-store/drystone/services/repair"
)

const inproc = "inproc:"

// mesh is the running services and what they share.
type mesh struct {
	log      *slog.Logger
	head     *head.Head
	registry *rpc.Registry
	metrics  *prometheus.Registry
	crew     *crew
	// placement answers what a start must know.
	placement rpc.Conn

	// nodes is how many chunk-servers there are, and lost those that have ended by themselves.
	nodes int
	lost  map[string]bool

	frontdoor   *frontdoor.Service
	metricsAddr string
}

// assemble starts etcd and then every service but the front-door; none is ready yet. The mesh that it returns is to be
// stopped, also when there is an error.
func (s *Store) assemble(ctx context.Context) (*mesh, error) {
	m := &mesh{
		log: s.log, registry: rpc.NewRegistry(), metrics: telemetry.NewMetrics(),
		crew:  newCrew(ctx, len(s.topology.Nodes)+fixedServices),
		nodes: len(s.topology.Nodes), lost: map[string]bool{},
	}
	var err error
	if m.head, err = head.Start(ctx, s.dir.Path("etcd"), s.log); err != nil {
		return m, err
	}
	m.placement, err = s.env(m, "start", "").Dialer.Dial(inproc+placement.Target, rpc.ConnOptions{})
	if err != nil {
		return m, fmt.Errorf("reach placement: %w", err)
	}
	for _, start := range []func(*mesh) error{s.startTelemetry, s.startMetadata, s.startPlacement} {
		if err := start(m); err != nil {
			return m, err
		}
	}
	// Nodes and repair call placement at once; nobody is helped by their being refused.
	if err := m.waitFor(ctx, func(context.Context) error { return m.serve(metadata.Target, placement.Target) }); err != nil {
		return m, err
	}
	if err := s.startChunkServers(m); err != nil {
		return m, err
	}
	return m, s.startRepair(m)
}

// serve says whether these services, and all others that have begun, can serve.
func (m *mesh) serve(names ...string) error {
	for _, name := range names {
		if _, ok := m.registry.Lookup(name); !ok {
			return fmt.Errorf("%s has not begun to serve", name)
		}
	}
	return m.registry.Ready()
}

// fixedServices are placement, metadata, repair, front-door and telemetry.
const fixedServices = 5

// env is what a service gets from this process. Its metrics carry its name, and a node's its node.
func (s *Store) env(m *mesh, service, node string) app.Env {
	labels := prometheus.Labels{"component": service, "replica": node}
	log := s.log.With(slog.String("component", service))
	metrics := prometheus.WrapRegistererWith(labels, m.metrics)
	return app.Env{
		Log: log, Metrics: metrics, Registry: m.registry,
		Dialer: rpc.NewDialer(rpc.DialerOptions{Log: log, Metrics: metrics, Registry: m.registry, Caller: service}),
	}
}

func (s *Store) startPlacement(m *mesh) error {
	service, err := placement.New(placement.Config{
		Name: placement.Target, DefaultScheme: s.cfg.Scheme, ExpectedNodes: len(s.topology.Nodes),
	}, s.env(m, placement.Target, ""), m.head.Client())
	if err != nil {
		return fmt.Errorf("start placement: %w", err)
	}
	m.crew.start(placement.Target, service.Run)
	return nil
}

// startChunkServers starts all nodes; each opens or formats its disks by itself, at the same time as the others.
func (s *Store) startChunkServers(m *mesh) error {
	scrub := chunkserver.Scrub{Rate: config.Size(max(scrubRate/s.topology.allDisks(), minScrubRate))}
	for _, n := range s.topology.Nodes {
		c := chunkserver.Config{
			Name: n.Name, Place: chunkserver.Place{Zone: n.Zone, Rack: n.Rack}, Scrub: scrub,
			Placement: []string{inproc + placement.Target},
		}
		for d := range n.Disks {
			c.Disks = append(c.Disks, s.dir.Path("nodes", n.Name, fmt.Sprintf("disk%d", d)))
		}
		service, err := chunkserver.New(c, s.env(m, "chunkserver", n.Name))
		if err != nil {
			return fmt.Errorf("start chunk-server %s: %w", n.Name, err)
		}
		m.crew.start(chunkServerName(n.Name), service.Run)
	}
	return nil
}

// All disks of the process are folders of one, and share what one disk is verified with by default.
const (
	scrubRate    = 20 << 20
	minScrubRate = 256 << 10
)

const chunkServerPrefix = "chunkserver "

func chunkServerName(node string) string { return chunkServerPrefix + node }

func is(name string) func(string) bool { return func(n string) bool { return n == name } }

func isChunkServer(name string) bool { return strings.HasPrefix(name, chunkServerPrefix) }

func (s *Store) startMetadata(m *mesh) error {
	service, err := metadata.New(metadata.Config{Name: metadata.Target}, s.env(m, metadata.Target, ""), m.head.Client())
	if err != nil {
		return fmt.Errorf("start metadata: %w", err)
	}
	m.crew.start(metadata.Target, service.Run)
	return nil
}

func (s *Store) startRepair(m *mesh) error {
	service, err := repair.New(repair.Config{Name: repair.Target, Placement: []string{inproc + placement.Target}},
		s.env(m, repair.Target, ""))
	if err != nil {
		return fmt.Errorf("start repair: %w", err)
	}
	m.crew.start(repair.Target, service.Run)
	return nil
}

func (s *Store) startFrontDoor(m *mesh) error {
	service, err := frontdoor.New(frontdoor.Config{
		Name: frontdoor.Target, RESTListen: s.cfg.REST, GRPCListen: s.cfg.GRPC,
		Metadata: []string{inproc + metadata.Target}, Placement: []string{inproc + placement.Target},
		TokenFile: config.SecretFile(s.dir.TokenPath()), Grace: requestPatience,
	}, s.env(m, frontdoor.Target, ""))
	if err != nil {
		return fmt.Errorf("start front-door: %w", err)
	}
	m.frontdoor = service
	m.crew.start(frontdoor.Target, service.Run)
	return nil
}

func (s *Store) startTelemetry(m *mesh) error {
	if s.cfg.Metrics == "" {
		return nil
	}
	listener, err := net.Listen("tcp", s.cfg.Metrics) //nolint:noctx // takes no time
	if err != nil {
		return fmt.Errorf("listen for metrics: %w", err)
	}
	m.metricsAddr = listener.Addr().String()
	handler := telemetry.Handler(telemetry.HandlerOptions{
		Metrics: prometheus.Gatherers{m.metrics, prometheus.GathererFunc(head.Gather)},
		Ready:   m.registry.Ready, Pprof: true,
	})
	m.crew.start("telemetry", func(ctx context.Context) error { return telemetry.Serve(ctx, listener, handler) })
	return nil
}

// ended judges a service that has ended by itself. The store lives on without a chunk-server: that is what it is for.
// Without any other service, or the last chunk-server, it does not: there is nobody else to take over.
func (m *mesh) ended(ctx context.Context, failed *member) error {
	err := failed.failure()
	m.crew.forget(failed) // What it has to say is said.
	if !isChunkServer(failed.name) {
		return err
	}
	m.lost[strings.TrimPrefix(failed.name, chunkServerPrefix)] = true
	m.log.ErrorContext(ctx, "a chunk-server ended; the others go on without it until the next start", slog.Any("error", err))
	if len(m.lost) == m.nodes {
		return fmt.Errorf("no chunk-server is left; the last: %w", err)
	}
	return nil
}

// tellLater says what a stop waits for if it has to wait at all; the returned function takes that back.
func (m *mesh) tellLater(ctx context.Context, after time.Duration) func() bool {
	return time.AfterFunc(after, func() {
		m.log.WarnContext(ctx, "stopping waits for requests that run: they are cut off then, and nothing of them is stored; "+
			"a second signal ends the process at once", slog.Duration("at_most", requestPatience))
	}).Stop
}

// stop ends everything, callers before those they call.
func (m *mesh) stop(ctx context.Context) error {
	var errs []error
	step := func(what string, end func() error) {
		begun := clock.Now()
		errs = append(errs, end())
		m.log.DebugContext(ctx, "stopped", slog.String("what", what), slog.Duration("took", clock.Since(begun)))
	}
	draining, cancel := context.WithTimeout(ctx, drainPatience)
	defer cancel()
	step("the front-door", func() error {
		defer m.tellLater(ctx, quietStop)()
		return m.crew.stop(draining, is(frontdoor.Target))
	})

	rest, cancel := context.WithTimeout(ctx, restPatience)
	defer cancel()
	step("repair", func() error { return m.crew.stop(rest, is(repair.Target)) })
	step("metadata", func() error { return m.crew.stop(rest, is(metadata.Target)) })
	step("chunk-servers", func() error { return m.crew.stop(rest, isChunkServer) })
	step("placement and telemetry", func() error { return m.crew.stop(rest, func(string) bool { return true }) })
	if m.placement != nil {
		errs = append(errs, m.placement.Close())
	}
	if m.head != nil {
		step("etcd", m.head.Close)
	}
	return errors.Join(errs...)
}
