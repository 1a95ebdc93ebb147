// Package peers is how readers and writers of volumes talk to chunk-servers, by node name.
//
// Constraints:
//
//  1. Every call has a deadline; an append stream that answers nothing for a second while frames wait is given up.
//  2. Frames to one node are sent in the order of Append.
//  3. Answered and Released of a frame are each called exactly once, Released not before Answered.
//  4. A frame's bytes may be used again only when Released says so: a broken network stream may still read them.
//  5. Bytes that came over a network are checked against their checksums before a caller sees them.
package peers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/nodes"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/rpc"
)

// Topology says where nodes are; *nodes.Topology is one.
type Topology interface {
	Snapshot() *nodes.Snapshot
}

// Options are what Peers needs.
type Options struct {
	Topology Topology
	Dialer   *rpc.Dialer
	Log      *slog.Logger
	// Metrics may be nil.
	Metrics prometheus.Registerer
	// BootID recognises nodes on this host, whose unix sockets are used. Empty: asked of the kernel.
	BootID string
}

// Peers holds a connection to each chunk-server that was asked for, and one append stream. It is safe for concurrent
// use. Run must be running, and its end closes everything.
type Peers struct {
	topology Topology
	dialer   *rpc.Dialer
	log      *slog.Logger
	metrics  *metrics
	bootID   string

	// life ends when Run does; append streams belong to it and to no request.
	life  context.Context //nolint:containedctx // see above
	end   context.CancelFunc
	tasks sync.WaitGroup

	mu     sync.Mutex
	peers  map[string]*peer
	closed bool
}

// New makes Peers without connections. Errors: a metric's name is taken.
func New(o Options) (*Peers, error) {
	m, err := newMetrics(o.Metrics)
	if err != nil {
		return nil, err
	}
	if o.BootID == "" {
		o.BootID = hostBootID()
	}
	life, end := context.WithCancel(context.Background())
	return &Peers{
		topology: o.Topology, dialer: o.Dialer, log: o.Log, metrics: m, bootID: o.BootID,
		life: life, end: end, peers: make(map[string]*peer),
	}, nil
}

// Run waits for the end of ctx, then ends all streams, waits for them and closes all connections. Frames that were not
// answered fail. It returns what closing said.
func (p *Peers) Run(ctx context.Context) error {
	<-ctx.Done()
	p.mu.Lock()
	p.closed = true
	peers := p.peers
	p.mu.Unlock()
	p.end()
	p.tasks.Wait()
	var errs []error
	for _, peer := range peers {
		errs = append(errs, peer.close())
	}
	return errors.Join(errs...)
}

// peer finds or makes what is kept of a node. It dials nothing.
func (p *Peers) peer(node string) (*peer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, fault.New(codes.Unavailable, typesv1.Reason_REASON_SHUTTING_DOWN, "connections to chunk-servers are closed")
	}
	known := p.peers[node]
	if known == nil {
		known = &peer{owner: p, node: node, metrics: p.metrics.of(node)}
		p.peers[node] = known
	}
	return known, nil
}

// start runs a task that Run waits for; false when Run has ended already.
func (p *Peers) start(task func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.tasks.Go(task)
	return true
}

// client is a client of a node; local: it runs in this process.
func (p *Peers) client(node string) (client chunkv1.ChunkServiceClient, local bool, err error) {
	peer, err := p.peer(node)
	if err != nil {
		return nil, false, err
	}
	return peer.client()
}

// bulk are the messages whose bytes the network takes without a copy: frames are not reused before they were answered,
// and never after their stream failed; answers are read into the caller's buffer.
func bulk() rpc.BulkFields {
	const dataField = 15
	return rpc.BulkFields{
		(&chunkv1.AppendRequest{}).ProtoReflect().Descriptor().FullName():     dataField,
		(&chunkv1.ReadChunkResponse{}).ProtoReflect().Descriptor().FullName(): dataField,
	}
}

// peer is one chunk-server.
type peer struct {
	owner   *Peers
	node    string
	metrics nodeMetrics

	mu sync.Mutex
	// seen is the topology that target was chosen from.
	seen   *nodes.Snapshot
	target string
	conn   rpc.Conn
	stream *stream
}

// client returns a client of the node where it is now. A node that moved is dialed anew; calls on their way to its old
// address fail. Errors: UNAVAILABLE when the topology does not know the node.
func (p *peer) client() (client chunkv1.ChunkServiceClient, local bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.locate(); err != nil {
		return nil, false, err
	}
	return chunkv1.NewChunkServiceClient(p.conn), strings.HasPrefix(p.target, inProcPrefix), nil
}

func (p *peer) locate() error {
	now := p.owner.topology.Snapshot()
	if p.conn != nil && p.seen == now {
		return nil
	}
	known, ok := now.Node(p.node)
	if !ok {
		if p.conn != nil {
			return nil // it was there once; let it prove whether it still is
		}
		return fault.New(codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE, "node %q is not in the topology", p.node)
	}
	target := chooseTarget(known, p.owner.bootID)
	if p.conn != nil && target == p.target {
		p.seen = now
		return nil
	}
	conn, err := p.owner.dialer.Dial(target, rpc.ConnOptions{
		Peer: p.node, MaxInFlight: callsInFlight, Timeout: callTimeout, Bulk: bulk(),
	})
	if err != nil {
		return fmt.Errorf("dialing node %q at %s: %w", p.node, target, err)
	}
	if p.conn != nil {
		if err := p.conn.Close(); err != nil {
			p.owner.log.Warn("closing the connection to a node's old address",
				slog.String("node", p.node), slog.Any("error", err))
		}
	}
	p.conn, p.target, p.seen = conn, target, now
	return nil
}

func (p *peer) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == nil {
		return nil
	}
	err := p.conn.Close()
	p.conn = nil
	if err != nil {
		return fmt.Errorf("closing the connection to node %q: %w", p.node, err)
	}
	return nil
}
