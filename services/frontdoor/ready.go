package frontdoor

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/drystone-store/drystone/services/frontdoor/internal/cluster"
	"github.com/drystone-store/drystone/services/frontdoor/internal/names"
	"github.com/drystone-store/drystone/services/frontdoor/internal/rest"
	"github.com/drystone-store/drystone/services/kit/clock"
)

const (
	// readyFor is how long an answer of metadata counts: /readyz needs no token, and must be no way to load etcd.
	readyFor = time.Second
	// pingTimeout bounds the question.
	pingTimeout = 2 * time.Second
	// readyEvery is how often the gRPC health service is brought up to date.
	readyEvery = time.Second
)

// readiness tells whether requests can be served: the topology is known, metadata answers, and what the mesh adds.
type readiness struct {
	names    *names.Client
	topology cluster.Topology
	more     func() []rest.Check

	mu     sync.Mutex
	pinged time.Time
	ping   error
}

func newReadiness(n *names.Client, topology cluster.Topology, more func() []rest.Check) *readiness {
	return &readiness{names: n, topology: topology, more: more}
}

// checks are for /readyz.
func (r *readiness) checks(ctx context.Context) []rest.Check {
	checks := []rest.Check{{Name: "metadata", Err: r.metadata(ctx)}, {Name: "topology"}}
	if r.topology.Snapshot().ClusterID() == "" {
		checks[1].Err = errors.New("placement has not told it yet")
	}
	return append(checks, r.more()...)
}

// ready says whether all checks hold.
func (r *readiness) ready(ctx context.Context) bool {
	for _, c := range r.checks(ctx) {
		if c.Err != nil {
			return false
		}
	}
	return true
}

// metadata asks a replica, unless one was asked a moment ago. Callers wait for each other: one question is enough.
func (r *readiness) metadata(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if clock.Since(r.pinged) < readyFor {
		return r.ping
	}
	// The answer is for the next ones, too, so the first caller's patience does not matter.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pingTimeout)
	defer cancel()
	r.ping = nil
	if err := r.names.Ping(ctx); err != nil {
		r.ping = errors.New("no replica answers")
	}
	r.pinged = clock.Now()
	return r.ping
}

// watch tells set when readiness changes, until ctx ends.
func (r *readiness) watch(ctx context.Context, set func(bool)) error {
	ticker := time.NewTicker(readyEvery)
	defer ticker.Stop()
	was := false
	for {
		if now := r.ready(ctx); now != was {
			set(now)
			was = now
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
