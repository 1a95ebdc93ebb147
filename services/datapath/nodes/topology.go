package nodes

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

const (
	// watchBackoffMin is the wait before the next replica is asked: short, because it is another replica.
	watchBackoffMin = 50 * time.Millisecond
	// watchBackoffMax bounds it while no replica answers: placement's return is noticed within a few seconds.
	watchBackoffMax = 3 * time.Second
)

// Topology follows placement's view of nodes and disks. It is safe for concurrent use; Run keeps it current.
type Topology struct {
	client placementv1.PlacementServiceClient
	log    *slog.Logger

	snapshot atomic.Pointer[Snapshot]
	ready    chan struct{}

	mu      sync.Mutex
	changed chan struct{}
}

// NewTopology makes an empty topology. The client's streams should go to another replica after a failure, as those of
// Placement do.
func NewTopology(client placementv1.PlacementServiceClient, log *slog.Logger) *Topology {
	t := &Topology{client: client, log: log, ready: make(chan struct{}), changed: make(chan struct{})}
	t.snapshot.Store(NewSnapshot(&placementv1.Topology{}))
	return t
}

// Run follows the topology until ctx ends; it returns nil then. It survives every failure of placement.
func (t *Topology) Run(ctx context.Context) error {
	backoff := watchBackoffMin
	for {
		received, err := t.follow(ctx)
		if received {
			backoff = watchBackoffMin
		}
		if ctx.Err() == nil {
			t.log.WarnContext(ctx, "topology watch ended; the last topology stays in use",
				slog.Any("error", err), slog.Duration("retry_in", backoff))
		}
		// Half of the wait is random, so that the watchers of a replica that died do not arrive together.
		timer := time.NewTimer(backoff/2 + rand.N(backoff/2+1))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		backoff = min(2*backoff, watchBackoffMax)
	}
}

// follow takes topologies from one stream until it ends, and says whether any came.
func (t *Topology) follow(ctx context.Context) (received bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := t.client.WatchTopology(ctx, &placementv1.WatchTopologyRequest{})
	if err != nil {
		return false, fmt.Errorf("watching the topology: %w", err)
	}
	for {
		answer, err := stream.Recv()
		if err != nil {
			return received, fmt.Errorf("receiving the topology: %w", err)
		}
		if answer.GetTopology() == nil {
			continue
		}
		t.publish(answer.GetTopology())
		received = true
	}
}

func (t *Topology) publish(topology *placementv1.Topology) {
	t.mu.Lock()
	defer t.mu.Unlock()
	first := t.snapshot.Load().ClusterID() == ""
	t.snapshot.Store(NewSnapshot(topology))
	close(t.changed)
	t.changed = make(chan struct{})
	if first && topology.GetClusterId() != "" {
		close(t.ready)
	}
}

// Snapshot is the latest topology, never nil; it is empty before the first one came.
func (t *Topology) Snapshot() *Snapshot { return t.snapshot.Load() }

// Changed is closed when the next topology comes. Take it before the snapshot, or a change in between is missed.
func (t *Topology) Changed() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}

// Ready is closed once a topology came.
func (t *Topology) Ready() <-chan struct{} { return t.ready }

// WaitReady waits for the first topology. Errors: UNAVAILABLE when ctx ends first.
func (t *Topology) WaitReady(ctx context.Context) error {
	select {
	case <-t.ready:
		return nil
	case <-ctx.Done():
		return fault.Wrap(ctx.Err(), codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE, "no topology from placement yet")
	}
}
