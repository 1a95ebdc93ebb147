// Package topology joins the register, what heartbeats tell and the policy's judgement into one picture, for the policy
// to pick from and for watchers to follow.
package topology

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/placement/internal/policy"
)

const (
	// publishEvery is the least time between two pictures: a burst of changes, say a zone that dies, is one or two.
	publishEvery = 50 * time.Millisecond
	// figuresEvery is how often a picture is published of which only figures are new: free bytes, chunks, counts.
	// They change all the time and nobody acts on them at once.
	figuresEvery = 2 * time.Second
	// gatherPatience is how long after its start a replica holds fallback schemes back while expected nodes were never
	// registered: one that does not come at all must not keep the others from working.
	gatherPatience = 30 * time.Second
)

// Members is who is there. membership.Tracker is one.
type Members interface {
	// Nodes are the caller's; settled is false while some may be alive that were not heard of yet.
	Nodes() (nodes []*placementv1.Node, settled bool)
	Changed() <-chan struct{}
}

// Map is the volume map's figures. state.Store is one.
type Map interface {
	Cluster() (string, error)
	Counts() *placementv1.VolumeCounts
	// Columns is how many columns lie on each disk.
	Columns() map[string]uint64
	Changed() <-chan struct{}
}

// Options of a Publisher.
type Options struct {
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Policy  policy.Policy
	// DefaultScheme of buckets that ask for none; the zero value leaves it to the policy.
	DefaultScheme erasure.Scheme
	// ExpectedNodes is how many nodes must be registered before the policy chooses a default scheme or, for a while,
	// a fallback; otherwise the first two nodes of a new cluster would decide it.
	ExpectedNodes int
}

// Publisher keeps the picture.
type Publisher struct {
	members Members
	volumes Map
	options Options
	metrics metrics
	started time.Time
	// misfit is why there is no default scheme, as it was last told. Only Run touches it.
	misfit string

	mu     sync.Mutex
	latest *placementv1.Topology
	// next closes when latest is replaced.
	next chan struct{}
}

// New makes a publisher. Errors: a metric cannot be registered.
func New(members Members, volumes Map, o Options) (*Publisher, error) {
	m, err := newMetrics(o.Metrics)
	if err != nil {
		return nil, err
	}
	return &Publisher{members: members, volumes: volumes, options: o, metrics: m, started: clock.Now(), next: make(chan struct{})}, nil
}

// Latest is the picture as it was last published, nil before the first, and a channel that closes with the next one.
// The message is shared: do not write to it.
func (p *Publisher) Latest() (*placementv1.Topology, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.latest, p.next
}

// Run publishes until ctx ends.
func (p *Publisher) Run(ctx context.Context) {
	figures := time.NewTicker(figuresEvery)
	defer figures.Stop()
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		select {
		case <-rest.C:
		case <-ctx.Done():
			return
		}
		due := false
		select {
		case <-p.members.Changed():
		case <-p.volumes.Changed():
		case <-figures.C:
			due = true
		case <-ctx.Done():
			return
		}
		p.refresh(due)
		rest.Reset(publishEvery)
	}
}

// refresh publishes what is new; figures alone only if they are due.
func (p *Publisher) refresh(figures bool) {
	now, err := p.compose()
	if err != nil {
		return // not loaded yet; the load will be a change
	}
	p.metrics.set(now.GetVolumes())
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.latest != nil {
		now.Version = p.latest.GetVersion()
		if proto.Equal(now, p.latest) || !figures && proto.Equal(withoutFigures(now), withoutFigures(p.latest)) {
			return
		}
	}
	now.Version++
	p.latest = now
	close(p.next)
	p.next = make(chan struct{})
}

// compose draws the picture.
func (p *Publisher) compose() (*placementv1.Topology, error) {
	cluster, err := p.volumes.Cluster()
	if err != nil {
		return nil, err
	}
	nodes, _ := p.members.Nodes()
	t := &placementv1.Topology{ClusterId: cluster, Nodes: nodes, Volumes: p.volumes.Counts()}
	disks := policy.NewTopology(p.disks(nodes))
	scheme, err := p.defaultScheme(disks)
	p.tell(err, len(nodes))
	if err != nil {
		return t, nil //nolint:nilerr // without a default there is no more to say; tell has told why
	}
	t.DefaultScheme = scheme.Proto()
	if floor, err := policy.Floor(scheme, disks.Registered()); err == nil {
		t.Floor = floor.String()
	}
	if now, _, err := p.options.Policy.ForWrite(disks, scheme); err == nil {
		t.WriteScheme = now.Proto()
	}
	return t, nil
}

// tell logs once that the default scheme does not fit a cluster that is complete.
func (p *Publisher) tell(err error, nodes int) {
	misfit := ""
	if complete := p.options.ExpectedNodes > 0 && nodes >= p.options.ExpectedNodes; err != nil && complete {
		misfit = err.Error()
	}
	if misfit != "" && misfit != p.misfit {
		p.options.Log.Error("buckets need a scheme of their own: the default does not fit", slog.Any("error", err))
	}
	p.misfit = misfit
}

// withoutFigures is a copy without what changes all the time.
func withoutFigures(t *placementv1.Topology) *placementv1.Topology {
	c := proto.CloneOf(t)
	c.Volumes = nil
	for _, n := range c.GetNodes() {
		for _, d := range n.GetDisks() {
			d.FreeBytes, d.Chunks, d.SyncUs = 0, 0, 0
		}
	}
	return c
}
