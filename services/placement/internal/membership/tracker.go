package membership

import (
	"context"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	"github.com/drystone-store/drystone/services/kit/clock"
)

// sweepEvery is how often states are looked at; a silent node is noticed that much late at most.
const sweepEvery = 200 * time.Millisecond

// Register is the part of membership that lasts. state.Store is one.
type Register interface {
	// Node finds a registered node, Register all of them by name. Their messages are shared: nobody writes to them.
	Node(name string) (*placementv1.Node, bool)
	Register() map[string]*placementv1.Node
	// ChangeRegister writes the nodes that decide returns, and asks decide again if others were first.
	ChangeRegister(ctx context.Context, decide func(map[string]*placementv1.Node) ([]*placementv1.Node, error)) error
}

// Options of a Tracker.
type Options struct {
	Log     *slog.Logger
	Metrics prometheus.Registerer
	// SuspectAfter and DownAfter are how long heartbeats may stay away.
	SuspectAfter, DownAfter time.Duration
}

// Tracker is one replica's view of all nodes.
type Tracker struct {
	register Register
	options  Options
	log      *slog.Logger
	metrics  metrics
	// changed has a token while there is a change of state that its reader has not seen.
	changed chan struct{}
	// wake has a token while a node in dirty waits for its states to be written.
	wake chan struct{}

	// mu is never held while the register is called: the register calls back under its own lock.
	mu    sync.Mutex
	nodes map[string]*tracked
	bars  map[string]*bar // by disk
	dirty map[string]struct{}
	swept time.Time
}

// tracked is what this replica has heard of a node.
type tracked struct {
	// heard is false until the first heartbeat or registration here.
	heard bool
	// at is when that came last; for a node that was never heard, when the replica first saw it in the register.
	at    time.Time
	run   string
	state placementv1.NodeState
	disks map[string]*placementv1.Disk
}

// New makes a tracker. Errors: a metric cannot be registered.
func New(register Register, o Options) (*Tracker, error) {
	m, err := newMetrics(o.Metrics)
	if err != nil {
		return nil, err
	}
	return &Tracker{
		register: register, options: o, log: o.Log, metrics: m,
		changed: make(chan struct{}, 1), wake: make(chan struct{}, 1),
		nodes: map[string]*tracked{}, bars: map[string]*bar{}, dirty: map[string]struct{}{},
	}, nil
}

// Changed receives after the state of a node or disk changed, many changes perhaps as one. It is for one receiver.
func (t *Tracker) Changed() <-chan struct{} { return t.changed }

// Run watches the time and writes what lasts, until ctx ends.
func (t *Tracker) Run(ctx context.Context) {
	var tasks sync.WaitGroup
	defer tasks.Wait()
	tasks.Go(func() { t.persist(ctx) })
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		t.sweep()
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// sweep brings the states of nodes and bars up to the present.
func (t *Tracker) sweep() {
	registered := t.register.Register()
	t.mu.Lock()
	defer t.mu.Unlock()
	now := clock.Now()
	t.forgive(now)
	for name := range registered {
		if t.nodes[name] == nil {
			t.nodes[name] = &tracked{at: now, state: placementv1.NodeState_NODE_STATE_SUSPECT}
			notify(t.changed)
		}
	}
	for name, n := range t.nodes {
		t.enter(name, n, t.stateAt(n, now))
		if registered[name] == nil && n.state == placementv1.NodeState_NODE_STATE_DOWN {
			delete(t.nodes, name)
		}
	}
	t.sweepBars(now)
	t.metrics.set(maps.Values(t.nodes), len(t.bars))
}

// forgive takes off what this replica itself stood still: heartbeats may wait in its sockets.
func (t *Tracker) forgive(now time.Time) {
	gap := now.Sub(t.swept)
	if !t.swept.IsZero() && gap > t.options.SuspectAfter {
		t.log.Warn("this replica stood still", slog.Duration("for", gap))
		for _, n := range t.nodes {
			n.at = n.at.Add(gap)
		}
	}
	t.swept = now
}

func (t *Tracker) stateAt(n *tracked, now time.Time) placementv1.NodeState {
	silent := now.Sub(n.at)
	switch {
	case silent >= t.options.DownAfter:
		return placementv1.NodeState_NODE_STATE_DOWN
	case silent >= t.options.SuspectAfter || !n.heard:
		return placementv1.NodeState_NODE_STATE_SUSPECT
	default:
		return placementv1.NodeState_NODE_STATE_UP
	}
}

// enter notes a node's state and tells if it is a new one.
func (t *Tracker) enter(name string, n *tracked, state placementv1.NodeState) {
	if n.state == state {
		return
	}
	tell := t.log.Warn
	if state == placementv1.NodeState_NODE_STATE_UP {
		tell = t.log.Info
	}
	tell("a node changed its state",
		slog.String("node", name), slog.String("from", word(n.state)), slog.String("to", word(state)))
	n.state = state
	notify(t.changed)
}

// word is a state as logs and metrics have it: up, suspect, down.
func word(state placementv1.NodeState) string {
	return strings.ToLower(strings.TrimPrefix(state.String(), "NODE_STATE_"))
}

// notify leaves a token unless there is one.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
