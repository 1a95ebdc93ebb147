package rpc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
)

// Replicas are connections to the replicas of a service, of which one is preferred: the one that answered last. Whether
// a call may go to a second one, and when to give up, is the caller's knowledge: it makes attempts and says which failed.
// It is safe for concurrent use.
//
// A target "dns:///host:port" is a name of replicas that come and go, such as a headless service's: each address behind
// it is a replica with a connection, and so with a breaker, of its own, from when the name has it. One that the name has
// no more gets no new calls, and keeps those that run. Any other target is one replica, wherever it is.
type Replicas struct {
	// Timeout bounds an attempt, 0: the connection's own does.
	Timeout time.Duration

	// conns are all replicas that there are now, at least one. They are replaced, never changed.
	conns atomic.Pointer[[]Conn]
	// preferred counts up with each replica that failed; modulo their number it is the next to ask.
	preferred atomic.Uint64
	spread    atomic.Bool

	names []*namedReplicas
	stop  context.CancelFunc
	done  sync.WaitGroup

	mu    sync.Mutex
	parts []func() []Conn // of each target, in their order; guarded by mu
}

// DialReplicas opens connections to targets ("host:port", "dns:///host:port", "inproc:metadata", …), lazily: it does not
// block. The first one is preferred. Errors: no targets, a malformed one.
func DialReplicas(dialer *Dialer, targets []string, o ConnOptions) (*Replicas, error) {
	if len(targets) == 0 {
		return nil, fmt.Errorf("no targets of %s", o.Peer)
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &Replicas{Timeout: o.Timeout, stop: stop}
	var static []Conn
	for _, target := range targets {
		if endpoint, named := strings.CutPrefix(target, dnsScheme+":///"); named {
			host, port, err := hostPort(endpoint)
			if err != nil {
				stop()
				return nil, errors.Join(fmt.Errorf("dialing %s at %s: %w", o.Peer, target, err), closeAll(static))
			}
			n := newNamedReplicas(r, dialer, host, port, o)
			r.names = append(r.names, n)
			r.parts = append(r.parts, n.replicas)
			continue
		}
		conn, err := dialer.Dial(target, o)
		if err != nil {
			stop()
			return nil, errors.Join(fmt.Errorf("dialing %s at %s: %w", o.Peer, target, err), closeAll(static))
		}
		static = append(static, conn)
		r.parts = append(r.parts, func() []Conn { return []Conn{conn} })
	}
	r.changed()
	for _, n := range r.names {
		r.done.Go(func() { n.run(ctx) })
	}
	return r, nil
}

// NewReplicas is DialReplicas for connections that are there.
func NewReplicas(timeout time.Duration, conns ...Conn) *Replicas {
	r := &Replicas{Timeout: timeout, stop: func() {}}
	r.conns.Store(&conns)
	return r
}

// changed gathers the replicas anew.
func (r *Replicas) changed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	var conns []Conn
	for _, part := range r.parts {
		conns = append(conns, part()...)
	}
	r.conns.Store(&conns)
	if r.spread.Load() {
		r.Spread() // a new replica gets its share
	}
}

// Spread prefers any replica, now and whenever their number changes, so that callers spread over them.
func (r *Replicas) Spread() {
	r.spread.Store(true)
	r.preferred.Store(rand.Uint64N(uint64(r.Len())))
}

// Len is the number of replicas now, at least 1.
func (r *Replicas) Len() int { return len(*r.conns.Load()) }

// Preferred is the replica to ask; the ones after it, by counting up, are the next.
func (r *Replicas) Preferred() uint64 { return r.preferred.Load() }

// Failed makes the replica after n the preferred one, unless another one is by now. Names are looked up again soon.
func (r *Replicas) Failed(n uint64) {
	r.preferred.CompareAndSwap(n, n+1)
	for _, named := range r.names {
		named.watch.soon()
	}
}

// Conn is the connection to replica n.
func (r *Replicas) Conn(n uint64) Conn {
	conns := *r.conns.Load()
	return conns[n%uint64(len(conns))]
}

// Invoke makes a unary call to replica n within Timeout.
func (r *Replicas) Invoke(ctx context.Context, n uint64, method string, args, reply any, opts ...grpc.CallOption) error {
	if r.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.Timeout)
		defer cancel()
	}
	return r.Conn(n).Invoke(ctx, method, args, reply, opts...)
}

// Close closes the connections; calls on their way fail.
func (r *Replicas) Close() error {
	r.stop()
	r.done.Wait()
	err := closeAll(*r.conns.Load())
	for _, n := range r.names {
		err = errors.Join(err, n.closeRetired(0))
	}
	return err
}

func closeAll(conns []Conn) error {
	errs := make([]error, 0, len(conns))
	for _, conn := range conns {
		errs = append(errs, conn.Close())
	}
	return errors.Join(errs...)
}
