package drystone

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/drystone-store/drystone/services/drystone/internal/datadir"
	"github.com/drystone-store/drystone/services/kit/app"
)

const (
	// How long a start may take. Ten seconds are promised; a damaged disk may take longer to look through.
	readyPatience = 60 * time.Second
	// What a person with a finger on Ctrl-C waits for requests that do not end by themselves.
	requestPatience = 3 * time.Second
	// From when on a stop says what it waits for: most have ended by then.
	quietStop = 300 * time.Millisecond
	// The parts of an orderly stop, ten seconds together whatever hangs: what runs at the front-door may end or is cut off,
	// and its volumes are sealed; then the others, which have nothing left to do.
	drainPatience = 6 * time.Second
	restPatience  = 2500 * time.Millisecond
)

// Status tells what runs.
type Status struct {
	// REST, GRPC and Metrics are addresses that accept connections; Metrics may be empty.
	REST, GRPC, Metrics string
	// Topology in words: "9 nodes in 3 zones".
	Topology string
	// Scheme of buckets that are made from now on and ask for none.
	Scheme  string
	Version string
}

// Store is the whole object store in one process.
type Store struct {
	cfg      Config
	log      *slog.Logger
	dir      datadir.Dir
	lock     *datadir.Lock
	topology Topology
}

// New takes the data folder and lays it out, or finds how it was laid out. It starts nothing. Run, once, gives the
// folder back. Errors: a FlagError; a folder or an address that is in use, or cannot be used.
func New(cfg Config, log *slog.Logger) (_ *Store, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, log: log, dir: datadir.At(cfg.Data)}
	if err := s.dir.Make(); err != nil {
		return nil, err
	}
	if s.lock, err = s.dir.Lock(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.lock.Unlock())
		}
	}()
	old, err := loadTopology(s.dir)
	if err != nil {
		return nil, err
	}
	if s.topology, err = plan(old, cfg); err != nil {
		return nil, err
	}
	if err := s.topology.judge(cfg.Scheme); err != nil {
		return nil, err
	}
	if err := cfg.available(); err != nil {
		return nil, err
	}
	// The nodes are recorded before anything is built on them.
	if err := saveTopology(s.dir, s.topology); err != nil {
		return nil, err
	}
	_, err = s.dir.EnsureToken()
	return s, err
}

// Run starts everything, calls ready when writes succeed, and serves until ctx ends, a service fails or ready returns
// an error. Then it ends everything in good order: within ten seconds, whatever hangs.
func (s *Store) Run(ctx context.Context, ready func(Status) error) error {
	err := s.run(ctx, ready)
	return errors.Join(err, s.dir.RemoveEndpoint(), s.lock.Unlock())
}

func (s *Store) run(ctx context.Context, ready func(Status) error) error {
	m, status, err := s.start(ctx)
	if err == nil {
		err = ready(status)
	}
	for err == nil && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case failed := <-m.crew.ended:
			err = m.ended(ctx, failed)
		}
	}
	// Interrupted while it starts is no failure.
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, m.stop(context.WithoutCancel(ctx)))
}

// start starts everything, the front-door last, so that its first look finds the others ready; waits until a write would
// succeed; and publishes where the process listens. It returns a mesh to be stopped unless that is nil.
func (s *Store) start(ctx context.Context) (*mesh, Status, error) {
	ctx, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	m, err := s.assemble(ctx)
	if err != nil {
		return m, Status{}, err
	}
	scheme, err := m.waitNodes(ctx, s.topology)
	if err != nil {
		return m, Status{}, err
	}
	if err := s.startFrontDoor(m); err != nil {
		return m, Status{}, err
	}
	if err := m.waitFrontDoor(ctx); err != nil {
		return m, Status{}, err
	}
	addrs := m.frontdoor.Addrs()
	status := Status{
		REST: addrs.REST, GRPC: addrs.GRPC, Metrics: m.metricsAddr,
		Topology: s.topology.String(), Scheme: scheme, Version: app.Version(),
	}
	return m, status, s.dir.WriteEndpoint(datadir.Endpoint{
		REST: status.REST, GRPC: status.GRPC, Metrics: status.Metrics, PID: os.Getpid(),
	})
}
