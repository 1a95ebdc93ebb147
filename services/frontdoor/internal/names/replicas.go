// Package names is the front-door's client of the metadata service: it finds a replica that answers, remembers bucket
// rows for moments, and gathers commits that come together into few requests.
//
// Constraints:
//
//  1. Every call of MetadataService is idempotent (writes by their write id), so each may go to another replica when
//     one does not answer.
//  2. A commit that got no answer may have been applied: it ends as OUTCOME_UNKNOWN, never as a success and never as
//     a failure that says that nothing happened.
//  3. Only what exists is cached, and commits name the bucket's id: an old row can cost a retry, not correctness.
package names

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/rpc"
)

const (
	// attemptTimeout bounds a call to one replica. An etcd election, which metadata sits out, takes about 1.2 s.
	attemptTimeout = 3 * time.Second
	// callTimeout bounds a read or a bucket operation over all its attempts.
	callTimeout = 8 * time.Second
	// roundPause separates rounds over all replicas: a restart of one takes seconds, a reconnect tens of milliseconds.
	roundPause = 50 * time.Millisecond
	// pauseMax bounds the pause, which doubles from round to round.
	pauseMax = time.Second
	// inFlight bounds the calls of this process to one replica: as many as it serves at a time.
	inFlight = 1024
)

// Replicas is a connection over all replicas of the metadata service: calls go to the one that answered last, and to
// the others in turn when it does not. It is safe for concurrent use.
type Replicas struct{ *rpc.Replicas }

// Dial opens connections to the replicas at targets, lazily; see rpc.DialReplicas.
func Dial(dialer *rpc.Dialer, targets []string) (*Replicas, error) {
	r, err := rpc.DialReplicas(dialer, targets, rpc.ConnOptions{Peer: "metadata", MaxInFlight: inFlight, Timeout: attemptTimeout})
	if err != nil {
		return nil, err
	}
	r.Spread()
	return &Replicas{r}, nil
}

// Client is the generated client over all replicas.
func (r *Replicas) Client() metadatav1.MetadataServiceClient {
	return metadatav1.NewMetadataServiceClient(r)
}

// Invoke makes a unary call. While replicas cannot be reached it asks one after the other, round by round, until ctx
// ends; the error is the last attempt's. A doubt in ctx hears of attempts that may have been served without an answer.
func (r *Replicas) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	pause := roundPause
	for {
		var err error
		for range r.Len() {
			n := r.Preferred()
			err = r.attempt(ctx, n, method, args, reply, opts)
			if err == nil || isAnswer(err) {
				return err
			}
			if !refused(err) {
				raiseDoubt(ctx)
			}
			if ctx.Err() != nil {
				return err
			}
			r.Failed(n)
		}
		if !sleep(ctx, pause) {
			return err
		}
		pause = min(2*pause, pauseMax)
	}
}

// doubt says that a call may have been served by a replica that did not answer.
type doubt struct{ raised bool }

type doubtKey struct{}

// withDoubt returns a context for one call, and what it leaves open.
func withDoubt(ctx context.Context) (context.Context, *doubt) {
	d := &doubt{}
	return context.WithValue(ctx, doubtKey{}, d), d
}

func raiseDoubt(ctx context.Context) {
	if d, ok := ctx.Value(doubtKey{}).(*doubt); ok {
		d.raised = true
	}
}

// sleep waits for a random time around d, so that callers of a replica that died do not come back together. It says
// whether ctx lived through it.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d/2 + rand.N(d))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (r *Replicas) attempt(ctx context.Context, n uint64, method string, args, reply any, opts []grpc.CallOption) error {
	if err := r.Replicas.Invoke(ctx, n, method, args, reply, opts...); err != nil {
		return fmt.Errorf("calling metadata: %w", err)
	}
	return nil
}

// NewStream is part of grpc.ClientConnInterface; the metadata service has no streams.
func (r *Replicas) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, fault.New(codes.Unimplemented, typesv1.Reason_REASON_METHOD_NOT_ALLOWED, "metadata has no streams")
}

// isAnswer says that a replica dealt with the call, so that no other one needs to be asked. UNAVAILABLE with a reason
// of its own, for example OUTCOME_UNKNOWN, is an answer.
func isAnswer(err error) bool {
	switch fault.Code(err) {
	case codes.Unavailable:
		return !refused(err) && !fault.Is(err, typesv1.Reason_REASON_UNSPECIFIED, typesv1.Reason_REASON_UNAVAILABLE)
	case codes.DeadlineExceeded, codes.Canceled:
		return false
	default:
		return true
	}
}

// refused says that a call was turned away before anything was done about it.
func refused(err error) bool {
	return fault.Is(err, typesv1.Reason_REASON_BREAKER_OPEN, typesv1.Reason_REASON_SHUTTING_DOWN,
		typesv1.Reason_REASON_OVERLOADED)
}
