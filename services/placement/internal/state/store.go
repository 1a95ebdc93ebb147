package state

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	clientv3 "go.etcd.io/etcd/client/v3"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	"github.com/drystone-store/drystone/services/kit/origin"
)

// Options of a Store.
type Options struct {
	Log     *slog.Logger
	Metrics prometheus.Registerer
	// TermLength is how long a term lasts even if it is renewed.
	TermLength time.Duration
	// WriterLease is how long it lasts unless it is renewed. etcd rounds it up to seconds.
	WriterLease time.Duration
}

// Store is one replica's view of placement's state, and its way to change it. It answers from when Run has loaded it.
type Store struct {
	etcd    *clientv3.Client
	options Options
	log     *slog.Logger
	metrics metrics
	mirror  *mirror
	barrier *barrier
	origin  *origin.Origin

	terms, volumes, register turn
}

// New makes a store; nothing happens before Run. The client stays the caller's. Errors: a metric cannot be registered.
func New(etcd *clientv3.Client, o Options) (*Store, error) {
	m, err := newMetrics(o.Metrics)
	if err != nil {
		return nil, err
	}
	return &Store{
		etcd: etcd, options: o, log: o.Log, metrics: m,
		mirror: newMirror(o.Log), barrier: newBarrier(), origin: origin.New(),
		terms: newTurn(), volumes: newTurn(), register: newTurn(),
	}, nil
}

// Run founds the cluster if need be and keeps the copy until ctx ends. Errors: *origin.ForeignError.
func (s *Store) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var tasks sync.WaitGroup
	tasks.Go(func() { s.barrier.run(ctx, s.probe) })
	tasks.Go(func() {
		defer stop()
		s.found(ctx)
		s.follow(ctx)
	})
	select {
	case <-s.origin.Broken():
	case <-ctx.Done():
	}
	stop()
	tasks.Wait()
	return s.origin.Err()
}

// Loaded closes once the state can be read. It stays closed while etcd is away: what was read stays readable.
func (s *Store) Loaded() <-chan struct{} { return s.mirror.loaded }

// Changed receives after something changed; many changes may be one token. It is for one receiver.
func (s *Store) Changed() <-chan struct{} { return s.mirror.changed }

// Ready refuses until the first load, and once another cluster of etcd has answered. Errors: UNAVAILABLE.
func (s *Store) Ready() error {
	if err := s.origin.Err(); err != nil {
		return unavailable(err, "follow one cluster")
	}
	select {
	case <-s.Loaded():
		return nil
	default:
		return unavailable(nil, "the state is not loaded yet")
	}
}

// Cluster is the cluster's id. Errors: UNAVAILABLE before the state is loaded.
func (s *Store) Cluster() (string, error) {
	var id string
	s.mirror.read(func(m *model) { id = m.cluster })
	return id, s.Ready()
}

// Barrier returns once memory shows everything that was written, by anyone, before the call.
// Errors: UNAVAILABLE when etcd does not answer, or the watch does not follow.
func (s *Store) Barrier(ctx context.Context) error {
	if err := s.Ready(); err != nil {
		return err
	}
	return s.barrier.wait(ctx)
}

// Counts is the number of volumes by state.
func (s *Store) Counts() *placementv1.VolumeCounts {
	counts := &placementv1.VolumeCounts{}
	s.mirror.read(func(m *model) {
		counts.Opening = m.states[placementv1.VolumeState_VOLUME_STATE_OPENING]
		counts.Open = m.states[placementv1.VolumeState_VOLUME_STATE_OPEN]
		counts.Sealed = m.states[placementv1.VolumeState_VOLUME_STATE_SEALED]
	})
	return counts
}

// Columns is how many columns of the map lie on each disk.
func (s *Store) Columns() map[string]uint64 {
	var columns map[string]uint64
	s.mirror.read(func(m *model) {
		columns = make(map[string]uint64, len(m.columns))
		for disk, n := range m.columns {
			columns[disk] = uint64(n)
		}
	})
	return columns
}
