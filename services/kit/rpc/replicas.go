package rpc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
)

// Replicas are connections to the replicas of a service, of which one is preferred: the one that answered last. Whether
// a call may go to a second one, and when to give up, is the caller's knowledge: it makes attempts and says which failed.
// It is safe for concurrent use.
type Replicas struct {
	// Timeout bounds an attempt, 0: the connection's own does.
	Timeout time.Duration

	conns []Conn
	// preferred counts up with each replica that failed; modulo their number it is the next to ask.
	preferred atomic.Uint64
}

// DialReplicas opens connections to targets ("host:port", "inproc:metadata", …), lazily: it does not block. The
// first one is preferred. Errors: no targets, a malformed one.
func DialReplicas(dialer *Dialer, targets []string, o ConnOptions) (*Replicas, error) {
	if len(targets) == 0 {
		return nil, fmt.Errorf("no targets of %s", o.Peer)
	}
	conns := make([]Conn, 0, len(targets))
	for _, target := range targets {
		conn, err := dialer.Dial(target, o)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("dialing %s at %s: %w", o.Peer, target, err), closeAll(conns))
		}
		conns = append(conns, conn)
	}
	return NewReplicas(o.Timeout, conns...), nil
}

// NewReplicas is DialReplicas for connections that are there.
func NewReplicas(timeout time.Duration, conns ...Conn) *Replicas {
	return &Replicas{Timeout: timeout, conns: conns}
}

// Spread prefers any replica, so that callers spread over them.
func (r *Replicas) Spread() { r.preferred.Store(rand.Uint64N(uint64(len(r.conns)))) }

// Len is the number of replicas.
func (r *Replicas) Len() int { return len(r.conns) }

// Preferred is the replica to ask; the ones after it, by counting up, are the next.
func (r *Replicas) Preferred() uint64 { return r.preferred.Load() }

// Failed makes the replica after n the preferred one, unless another one is by now.
func (r *Replicas) Failed(n uint64) { r.preferred.CompareAndSwap(n, n+1) }

// Conn is the connection to replica n.
func (r *Replicas) Conn(n uint64) Conn { return r.conns[n%uint64(len(r.conns))] }

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
func (r *Replicas) Close() error { return closeAll(r.conns) }

func closeAll(conns []Conn) error {
	errs := make([]error, 0, len(conns))
	for _, conn := range conns {
		errs = append(errs, conn.Close())
	}
	return errors.Join(errs...)
}
