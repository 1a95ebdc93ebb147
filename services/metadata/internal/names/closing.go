package names

import (
	"context"
	"time"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/metadata/internal/head"
)

const (
	// closingPatience is how long a bucket may stay closing before whoever meets it takes its decider for dead: deciding
	// takes two transactions and a barrier, some milliseconds, seconds during an election.
	closingPatience = 10 * time.Second
	// closingRetryAfter is what callers are told who met a bucket that stayed closing for all the waits.
	closingRetryAfter = 500 * time.Millisecond
)

// closingWaits are the pauses between looks at a closing bucket for calls about buckets, 310 ms in all: most deletions
// are decided by then, and a caller's deadline leaves room.
func closingWaits() []time.Duration {
	return []time.Duration{
		10 * time.Millisecond, 20 * time.Millisecond, 40 * time.Millisecond, 80 * time.Millisecond, 160 * time.Millisecond,
	}
}

// closingCommitWaits are those of commits: far fewer, because the mutations of other buckets in the same call wait, too.
func closingCommitWaits() []time.Duration {
	return []time.Duration{5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond}
}

// whenDecided tries something that a closing bucket refuses until the bucket is decided or the waits are over.
func (n *Names) whenDecided(ctx context.Context, bucket string, try func() error) error {
	for _, wait := range closingWaits() {
		err := try()
		if !fault.Is(err, typesv1.Reason_REASON_BUCKET_CLOSING) {
			return err
		}
		if err := n.reopenStale(ctx, bucket); err != nil {
			return err
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
	return try()
}

// stale says whether a closing bucket's decider must be gone. Clocks decide here only who makes an effort: every
// change of the row is compared.
func (n *Names) stale(b *metadatav1.BucketRow) bool {
	return b.GetState() == metadatav1.BucketState_BUCKET_STATE_CLOSING &&
		n.now().Sub(time.UnixMilli(b.GetClosingSinceMs())) > closingPatience
}

// reopenStale reopens a bucket that stayed closing for too long; anything else it leaves alone.
func (n *Names) reopenStale(ctx context.Context, name string) error {
	stale := false
	n.index.Peek(func(v head.View) {
		b, err := getBucket(v, name)
		stale = err == nil && n.stale(b)
	})
	if !stale {
		return nil
	}
	return n.commitOne(ctx, head.Write{Key: head.BucketKey(name), ID: newWriteID(), Plan: func(v head.View) (head.Plan, error) {
		b, err := getBucket(v, name)
		if err != nil || !n.stale(b) {
			return head.Plan{}, err
		}
		return planState(b, metadatav1.BucketState_BUCKET_STATE_OPEN, 0)
	}})
}

// planState puts a bucket's row with another state. b is the plan's own.
func planState(b *metadatav1.BucketRow, state metadatav1.BucketState, closingSinceMs int64) (head.Plan, error) {
	b.State, b.ClosingSinceMs = state, closingSinceMs
	payload, err := encode(b)
	if err != nil {
		return head.Plan{}, err
	}
	return head.Plan{Puts: []head.Put{{Key: head.BucketKey(b.GetName()), Payload: payload}}}, nil
}

// pause waits for d. Errors: the context's.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fault.FromContext(ctx.Err())
	}
}
