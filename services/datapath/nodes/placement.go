// Package nodes is what a reader or writer of volumes knows of the cluster: which nodes and disks there are (Topology),
// which volume lies where (Map), and how to ask placement (Placement).
//
// Constraints:
//
//  1. Placement being down takes nothing away: the last topology and all cached map entries stay in use.
//  2. A call that is not idempotent is acted on once; everything else goes to each replica in turn.
//  3. A Refresh never joins a request that was sent before it.
package nodes

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/rpc"
)

const (
	// attemptTimeout bounds a call to one replica, so that a replica which answers nothing costs a write that needs
	// a new volume a part of its 5 s only. An etcd election, which placement sits out, takes about 1.2 s.
	attemptTimeout = 2 * time.Second

	// placementInFlight bounds the calls of this process to one replica; beyond it callers wait their turn.
	placementInFlight = 64
)

// Placement calls placement's replicas: the one that answered last, and the others in turn when it does not. It is a
// connection for generated clients and safe for concurrent use.
type Placement struct{ replicas *rpc.Replicas }

// DialPlacement opens connections to the replicas at targets, lazily; see rpc.DialReplicas.
func DialPlacement(dialer *rpc.Dialer, targets []string) (*Placement, error) {
	r, err := rpc.DialReplicas(dialer, targets, rpc.ConnOptions{
		Peer: "placement", MaxInFlight: placementInFlight, Timeout: attemptTimeout,
	})
	if err != nil {
		return nil, fmt.Errorf("reaching placement: %w", err)
	}
	return &Placement{r}, nil
}

// Client is the generated client over all replicas.
func (p *Placement) Client() placementv1.PlacementServiceClient {
	return placementv1.NewPlacementServiceClient(p)
}

// Invoke makes a unary call. When a replica cannot be reached an idempotent call goes on to the next one, each replica
// once; so does one that was turned away before anything was done about it. Another call returns the error, and the
// caller's own next try goes to the next replica.
func (p *Placement) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	start := p.replicas.Preferred()
	var err error
	for i := range uint64(p.replicas.Len()) {
		last := p.attempt(ctx, start+i, method, args, reply, opts)
		if last == nil {
			return nil
		}
		err = after(err, last)
		if !unreachable(ctx, last) {
			return err
		}
		p.replicas.Failed(start + i)
		if !idempotent(method) && !refused(last) {
			return err
		}
	}
	return err
}

func (p *Placement) attempt(ctx context.Context, n uint64, method string, args, reply any, opts []grpc.CallOption) error {
	if err := p.replicas.Invoke(ctx, n, method, args, reply, opts...); err != nil {
		return fmt.Errorf("calling placement: %w", err)
	}
	return nil
}

// NewStream opens a stream to the preferred replica; when it breaks, the next one goes to another replica. It has no
// deadline of its own.
func (p *Placement) NewStream(
	ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	n := p.replicas.Preferred()
	stream, err := p.replicas.Conn(n).NewStream(ctx, desc, method, opts...)
	if err != nil {
		p.replicas.Failed(n)
		return nil, fmt.Errorf("streaming from placement: %w", err)
	}
	return &replicaStream{ClientStream: stream, ctx: ctx, broke: func() { p.replicas.Failed(n) }}, nil
}

// replicaStream notices that its replica went away.
type replicaStream struct {
	grpc.ClientStream
	ctx   context.Context //nolint:containedctx // the caller's: it tells an end that was asked for from a break
	broke func()
}

func (s *replicaStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err != nil && s.ctx.Err() == nil && unreachable(s.ctx, err) {
		s.broke()
	}
	return err //nolint:wrapcheck // io.EOF has a meaning here
}

// Close closes the connections; calls on their way fail.
func (p *Placement) Close() error { return p.replicas.Close() }

// idempotent says what may be sent to a second replica when the first one did not answer.
func idempotent(method string) bool {
	return method != placementv1.PlacementService_StartTerm_FullMethodName &&
		method != placementv1.PlacementService_OpenVolume_FullMethodName
}

// after is the answer of a replica, with what those before it said: one does not explain the other.
func after(before, last error) error {
	if before == nil {
		return last
	}
	return fmt.Errorf("%w; a replica before it: %v", last, before) //nolint:errorlint // only the last one decides
}

// refused says that nothing was done about the call: the replica stops, or is known not to serve.
func refused(err error) bool {
	return fault.Is(err, typesv1.Reason_REASON_BREAKER_OPEN, typesv1.Reason_REASON_SHUTTING_DOWN)
}

// unreachable says that the replica gave no answer: another one may. UNAVAILABLE with a reason of the domain, for
// example NOT_ENOUGH_DISKS, is an answer.
func unreachable(ctx context.Context, err error) bool {
	switch fault.Code(err) {
	case codes.Unavailable:
		return refused(err) || fault.Is(err, typesv1.Reason_REASON_UNSPECIFIED, typesv1.Reason_REASON_UNAVAILABLE)
	case codes.DeadlineExceeded:
		return ctx.Err() == nil
	default:
		return false
	}
}
