package names

import (
	"context"

	"google.golang.org/grpc/codes"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/metadata/internal/head"
)

// Commit puts and deletes versions, each mutation alone, and returns their results in order. Errors in results:
// NO_SUCH_BUCKET, BUCKET_CLOSING, PRECONDITION_FAILED, WRITER_FENCED, and the index's. Those four and success settle
// the write: no earlier try of it can apply any more. After any other error one may.
func (n *Names) Commit(ctx context.Context, mutations []*metadatav1.Mutation) []head.Result {
	writes := make([]head.Write, len(mutations))
	for i, m := range mutations {
		writes[i] = n.write(m)
	}
	results := n.index.Commit(ctx, writes)
	for _, wait := range closingCommitWaits() {
		closing := closingOnes(results)
		if len(closing) == 0 || pause(ctx, wait) != nil {
			break
		}
		n.retryClosing(ctx, mutations, writes, results, closing)
	}
	return results
}

// closingOnes are the indexes of what a closing bucket refused.
func closingOnes(results []head.Result) (closing []int) {
	for i, r := range results {
		if fault.Is(r.Err, typesv1.Reason_REASON_BUCKET_CLOSING) {
			closing = append(closing, i)
		}
	}
	return closing
}

// retryClosing tries again what a closing bucket refused.
func (n *Names) retryClosing(
	ctx context.Context, mutations []*metadatav1.Mutation, writes []head.Write, results []head.Result, closing []int,
) {
	again := make([]head.Write, len(closing))
	for i, at := range closing {
		if err := n.reopenStale(ctx, mutations[at].GetBucket()); err != nil {
			return // the refusals stand
		}
		again[i] = writes[at]
	}
	for i, r := range n.index.Commit(ctx, again) {
		results[closing[i]] = r
	}
}

// write is a mutation as the index takes it.
func (n *Names) write(m *metadatav1.Mutation) head.Write {
	return head.Write{
		Key:   head.VersionKey(m.GetBucketId(), m.GetKey()),
		ID:    head.WriteID(m.GetRow().GetWriteId()),
		Since: m.GetSince(),
		Plan:  func(v head.View) (head.Plan, error) { return n.planMutation(v, m) },
	}
}

// planMutation decides on one state (constraints 2, 5, 6).
func (n *Names) planMutation(v head.View, m *metadatav1.Mutation) (head.Plan, error) {
	bucket, err := openBucket(v, m)
	if err != nil {
		return head.Plan{}, err
	}
	guards := []head.Guard{{Key: head.BucketKey(m.GetBucket())}}
	if m.GetOldestTerm() > 0 {
		writer := m.GetRow().GetWriter()
		if floorOf(v, writer) > m.GetOldestTerm() {
			return head.Plan{}, fault.New(codes.FailedPrecondition, typesv1.Reason_REASON_WRITER_FENCED,
				"the floor of writer %q is above term %d", writer, m.GetOldestTerm())
		}
		guards = append(guards, head.Guard{Key: head.FloorKey(writer), Below: encodeFloor(m.GetOldestTerm() + 1)})
	}
	key := head.VersionKey(m.GetBucketId(), m.GetKey())
	current, exists := v.Get(key)
	live := exists && !current.Dead
	if err := checkCondition(m.GetCondition(), current, live); err != nil {
		return head.Plan{}, err
	}
	if m.GetRow().GetDeleteMarker() && !live {
		return head.Plan{}, nil
	}
	version, err := n.clock.Mint(current.Version)
	if err != nil {
		return head.Plan{}, err
	}
	payload, err := encode(stored(m.GetRow(), bucket))
	if err != nil {
		return head.Plan{}, err
	}
	put := head.Put{Key: key, Payload: payload, Version: version, Dead: m.GetRow().GetDeleteMarker()}
	return head.Plan{Puts: []head.Put{put}, Guards: guards}, nil
}

// openBucket is the bucket that a mutation means, if it takes commits.
func openBucket(v head.View, m *metadatav1.Mutation) (*metadatav1.BucketRow, error) {
	bucket, err := mustGetBucket(v, m.GetBucket())
	switch {
	case err != nil:
		return nil, err
	case bucket.GetId() != m.GetBucketId():
		return nil, errNoSuchBucket(m.GetBucket())
	case bucket.GetState() == metadatav1.BucketState_BUCKET_STATE_CLOSING:
		return nil, errClosing(m.GetBucket())
	default:
		return bucket, nil
	}
}
