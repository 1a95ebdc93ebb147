package head

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/origin"
)

const (
	// giveUp is how long one transaction is sent again before its writes are called unknown: more than two elections of
	// etcd (about 1.2 s each), within the deadline of most callers.
	giveUp = 10 * time.Second
	// firstTimeout and lastTimeout bound one try. A leader that steps down drops proposals without an answer, so the
	// first is short; it doubles, because a slow etcd is not helped by more of the same.
	firstTimeout = 250 * time.Millisecond
	lastTimeout  = 2 * time.Second
	// resendPause is waited when etcd refused to answer at once (no connection).
	resendPause = 20 * time.Millisecond
	// retryAfter is what overloaded callers are told to wait.
	retryAfter = 200 * time.Millisecond
)

// submitter sends batches.
type submitter struct {
	etcd    clientv3.KV
	name    string
	timeout func(try int) time.Duration
	finish  func(*op, outcome)
	origin  *origin.Origin
	metrics *metrics
}

// tryTimeout is how long the n-th try (from 0) may take.
func tryTimeout(try int) time.Duration {
	return min(firstTimeout<<min(try, 8), lastTimeout)
}

// send sends a batch until etcd answers and finishes its writes. It returns the revision from which on a copy knows
// what became of them, 0 if there was no answer.
//
// The same transaction is sent again after silence. That is safe: each of its writes compares the rows it replaces, so
// of all copies of the transaction at most one applies it; and if the answered copy did not apply it, no other copy
// will, because what failed to compare never compares again (constraint 5).
func (s *submitter) send(ctx context.Context, b *batch) int64 {
	s.metrics.batches.Observe(float64(len(b.ops)))
	ctx, cancel := context.WithTimeout(ctx, giveUp)
	defer cancel()
	cmps, then, otherwise := b.txn(s.name)
	silent := false
	for try := 0; ; try++ {
		resp, err := s.try(ctx, try, cmps, then, otherwise)
		if err == nil && s.origin.Check(resp.Header.GetClusterId()) != nil {
			s.finishAll(b, errUnanswered()) // what another cluster did says nothing about an earlier try in this one
			return 0
		}
		if err == nil {
			return s.answer(b, resp)
		}
		if final := refusal(err); final != nil && !silent {
			s.finishAll(b, final)
			return 0
		}
		silent = true
		if ctx.Err() != nil || b.abandoned() {
			s.finishAll(b, errUnanswered())
			return 0
		}
		s.metrics.retries.WithLabelValues(causeSilence).Inc()
		pause(ctx, resendPause)
	}
}

func (s *submitter) try(
	ctx context.Context, try int, cmps []clientv3.Cmp, then, otherwise []clientv3.Op,
) (*clientv3.TxnResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout(try))
	defer cancel()
	return s.etcd.Txn(ctx).If(cmps...).Then(then...).Else(otherwise...).Commit()
}

// answer finishes the writes of an answered batch: applied, or to be planned again on what the answer's revision has.
func (s *submitter) answer(b *batch, resp *clientv3.TxnResponse) int64 {
	if !resp.Succeeded { // another epoch; the clock says how far the head has come
		rev := resp.Responses[0].GetResponseRange().GetKvs()[0].GetModRevision()
		for _, o := range b.ops {
			s.finish(o, outcome{step: stepAgain, rev: rev})
		}
		return rev
	}
	rev := resp.Header.GetRevision()
	for i, g := range b.groups {
		group := resp.Responses[i].GetResponseTxn()
		for j, o := range g.ops {
			if group.GetSucceeded() && group.GetResponses()[j].GetResponseTxn().GetSucceeded() {
				s.finish(o, outcome{result: Result{Revision: rev, Version: o.change.version}})
			} else {
				s.finish(o, outcome{step: stepAgain, rev: rev})
			}
		}
	}
	return rev
}

func (s *submitter) finishAll(b *batch, err error) {
	for _, o := range b.ops {
		s.finish(o, outcome{result: Result{Err: err}})
	}
}

// abandoned says that nobody waits for the batch any more.
func (b *batch) abandoned() bool {
	for _, o := range b.ops {
		if !o.call.abandoned() {
			return false
		}
	}
	return true
}

// refusal is what an error says that etcd gives before it proposes a transaction, nil for all others: those may come
// after it was applied.
func refusal(err error) error {
	code := status.Code(err)
	var own rpctypes.EtcdError // etcd's errors, known to its client, are no statuses any more
	if errors.As(err, &own) {
		code = own.Code()
	}
	switch code {
	case codes.ResourceExhausted:
		return fault.Wrap(err, codes.ResourceExhausted, typesv1.Reason_REASON_OVERLOADED, "etcd takes no more writes").
			WithRetryAfter(retryAfter)
	case codes.InvalidArgument, codes.PermissionDenied, codes.Unauthenticated:
		return fault.Bug("etcd refused a transaction: %w", err)
	default:
		return nil
	}
}
