package rpc

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/log"
)

// retireAfter is how long a replica's connection is kept that its name has no more: longer than any unary call takes, so
// that a replica which stops in order can answer what it has begun.
const retireAfter = 30 * time.Second

// namedReplicas are the replicas behind one name.
type namedReplicas struct {
	all        *Replicas
	dialer     *Dialer
	host, port string
	options    ConnOptions
	watch      *nameWatch
	nobody     *nobody
	first      sync.Once

	mu    sync.Mutex
	known []namedReplica // by address, guarded by mu
	// retired are those that the name has no more. Only run and, after it, Close use them.
	retired []namedReplica
}

type namedReplica struct {
	address string
	conn    Conn
	left    time.Time // when the name was without it; zero: it is there
}

func newNamedReplicas(all *Replicas, dialer *Dialer, host, port string, o ConnOptions) *namedReplicas {
	return &namedReplicas{
		all: all, dialer: dialer, host: host, port: port, options: o, watch: newNameWatch(host, dialer.lookup),
		nobody: &nobody{all: all, peer: o.Peer, looked: make(chan struct{})},
	}
}

// replicas are the connections to those that there are, or one that says that there are none.
func (n *namedReplicas) replicas() []Conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.known) == 0 {
		return []Conn{n.nobody}
	}
	conns := make([]Conn, 0, len(n.known))
	for _, r := range n.known {
		conns = append(conns, r.conn)
	}
	return conns
}

// run keeps them up to date until ctx ends.
func (n *namedReplicas) run(ctx context.Context) {
	n.watch.run(ctx, func(addresses []string, err error) {
		switch {
		case err == nil:
			n.update(ctx, addresses)
		case len(n.known) == 0:
			n.dialer.log.LogAttrs(ctx, slog.LevelWarn, "a name of replicas does not resolve", slog.String("peer", n.options.Peer), log.Error(err))
		}
		// Those that are known are kept without an answer: whether they live is for their connections to find out.
		n.first.Do(func() { close(n.nobody.looked) })
		if err := n.closeRetired(retireAfter); err != nil {
			n.dialer.log.LogAttrs(ctx, slog.LevelWarn, "a connection was not closed", slog.String("peer", n.options.Peer), log.Error(err))
		}
	})
}

// update makes addresses the replicas that there are.
func (n *namedReplicas) update(ctx context.Context, addresses []string) {
	old := n.known // only written here
	next := make([]namedReplica, 0, len(addresses))
	same := 0
	for _, address := range addresses {
		if i := slices.IndexFunc(old, func(r namedReplica) bool { return r.address == address }); i >= 0 {
			next = append(next, old[i])
			same++
			continue
		}
		conn, err := n.dialer.Dial(net.JoinHostPort(address, n.port), n.options)
		if err != nil {
			n.dialer.log.LogAttrs(ctx, slog.LevelWarn, "a replica cannot be dialed", slog.String("peer", n.options.Peer), log.Error(err))
			continue
		}
		next = append(next, namedReplica{address: address, conn: conn})
	}
	if same == len(old) && len(next) == len(old) {
		return
	}
	n.mu.Lock()
	n.known = next
	n.mu.Unlock()
	n.all.changed()
	for _, r := range old {
		if !slices.ContainsFunc(next, func(now namedReplica) bool { return now.address == r.address }) {
			r.left = clock.Now()
			n.retired = append(n.retired, r)
		}
	}
	n.dialer.log.LogAttrs(ctx, slog.LevelInfo, "replicas changed", slog.String("peer", n.options.Peer),
		slog.Int("before", len(old)), slog.Int("now", len(next)))
}

// closeRetired closes the connections that were retired for so long.
func (n *namedReplicas) closeRetired(after time.Duration) error {
	var closing []Conn
	n.retired = slices.DeleteFunc(n.retired, func(r namedReplica) bool {
		old := clock.Since(r.left) >= after
		if old {
			closing = append(closing, r.conn)
		}
		return old
	})
	return closeAll(closing)
}

// nobody stands for the replicas of a name that none are known of. Calls wait for the first lookup, and fail without
// replicas as they would with one that cannot be reached.
type nobody struct {
	all    *Replicas
	peer   string
	looked chan struct{}
}

// Invoke implements grpc.ClientConnInterface.
func (n *nobody) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	conn, err := n.somebody(ctx)
	if err != nil {
		return err
	}
	return conn.Invoke(ctx, method, args, reply, opts...)
}

// NewStream implements grpc.ClientConnInterface.
func (n *nobody) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	conn, err := n.somebody(ctx)
	if err != nil {
		return nil, err
	}
	return conn.NewStream(ctx, desc, method, opts...)
}

func (n *nobody) somebody(ctx context.Context) (Conn, error) {
	select {
	case <-n.looked:
	case <-ctx.Done():
		return nil, fault.FromContext(ctx.Err())
	}
	conn := n.all.Conn(n.all.Preferred())
	if _, still := conn.(*nobody); still {
		return nil, fault.New(codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE, "%s has no replicas", n.peer)
	}
	return conn, nil
}

// Close implements Conn.
func (n *nobody) Close() error { return nil }
