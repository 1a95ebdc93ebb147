package names

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/log"
	"github.com/drystone-store/drystone/services/kit/telemetry"
)

const (
	// maxBatch mutations go in one request: the most that metadata takes.
	maxBatch = 1024
	// maxBatchBytes keeps a request below gRPC's bound with room to spare.
	maxBatchBytes = 2 << 20
	// commitTimeout bounds a request over all its attempts: an election, a restart of a replica. Then it is unknown
	// what became of it.
	commitTimeout = 10 * time.Second
	// stallAfter is when the next request no longer waits for the one before it: a replica that hangs must not hold
	// up writes that another one would take.
	stallAfter = 250 * time.Millisecond
	// A request of so many mutations is part of a crowd, whose batches become durable within milliseconds of each other:
	// the next one waits a moment for more of them. Fewer are steady traffic, which nobody should slow down.
	crowd      = 128
	crowdPause = 5 * time.Millisecond
	// maxInFlight bounds the requests that run beside stalled ones.
	maxInFlight = 4
	// closingPause is the wait before a mutation of a bucket whose deletion is being decided is tried again.
	closingPause = 50 * time.Millisecond
	// closingTries bounds those tries: a decision takes milliseconds, a decider that died is replaced in seconds.
	closingTries = 40
)

// Commit applies a mutation and returns the version that it minted. It sets the mutation's `since`.
// Errors: those of an outcome of MetadataService.Commit; OUTCOME_UNKNOWN when no replica told what became of it.
func (c *Client) Commit(ctx context.Context, m *metadatav1.Mutation) (uint64, error) {
	m.Since = c.seen.Load()
	for try := 1; ; try++ {
		outcome, err := c.commits.commit(ctx, m)
		if err == nil {
			c.learn(outcome.GetRevision())
			return outcome.GetVersion(), nil
		}
		if fault.Is(err, typesv1.Reason_REASON_NO_SUCH_BUCKET) {
			c.buckets.drop(m.GetBucket())
		}
		if !fault.Is(err, typesv1.Reason_REASON_BUCKET_CLOSING) || try == closingTries {
			return 0, err
		}
		pause(ctx, closingPause)
		if ctx.Err() != nil {
			return 0, err
		}
	}
}

// commitSender is the one call of the metadata service that a committer makes.
type commitSender interface {
	Commit(ctx context.Context, req *metadatav1.CommitRequest, opts ...grpc.CallOption) (*metadatav1.CommitResponse, error)
}

// committer gathers: while one request is on its way, what arrives waits for the next. So under load few requests
// carry many mutations, and a lone one waits for nobody.
type committer struct {
	sender commitSender
	log    *slog.Logger
	sizes  prometheus.Histogram

	mu     sync.Mutex
	queue  []*pending
	closed bool
	// wake holds one token when the queue may have work.
	wake chan struct{}
}

// pending is a mutation that waits for its outcome.
type pending struct {
	m    *metadatav1.Mutation
	done chan struct{} // closed when outcome or err is set

	outcome *metadatav1.Outcome
	err     error
}

func newCommitter(sender commitSender, logger *slog.Logger, metrics prometheus.Registerer) (*committer, error) {
	sizes, err := telemetry.Register[prometheus.Histogram](metrics, prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "drystone_frontdoor_commit_mutations",
		Help:    "Mutations in one commit request.",
		Buckets: prometheus.ExponentialBuckets(1, 2, 11), //nolint:mnd // 1 to 1,024
	}))
	if err != nil {
		return nil, fmt.Errorf("make the committer: %w", err)
	}
	return &committer{sender: sender, log: logger, sizes: sizes, wake: make(chan struct{}, 1)}, nil
}

// commit waits for the mutation's outcome, which says that it was applied unless there is an error. When ctx ends before it was sent, nothing happened; after that its outcome
// is unknown to the caller, though not to the store.
func (c *committer) commit(ctx context.Context, m *metadatav1.Mutation) (*metadatav1.Outcome, error) {
	p := &pending{m: m, done: make(chan struct{})}
	if err := c.enqueue(p); err != nil {
		return nil, err
	}
	select {
	case <-p.done:
		return p.outcome, p.err
	case <-ctx.Done():
		if c.withdraw(p) {
			return nil, fmt.Errorf("wait for a commit: %w", fault.FromContext(ctx.Err()))
		}
		return nil, unknown(ctx.Err())
	}
}

func (c *committer) enqueue(p *pending) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return shuttingDown()
	}
	c.queue = append(c.queue, p)
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return nil
}

// withdraw takes p out of the queue; false when it has been sent.
func (c *committer) withdraw(p *pending) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, q := range c.queue {
		if q == p {
			c.queue = append(c.queue[:i], c.queue[i+1:]...)
			return true
		}
	}
	return false
}

// run sends batches until ctx ends. It waits for those on their way.
func (c *committer) run(ctx context.Context) error {
	var senders sync.WaitGroup
	defer senders.Wait()
	defer c.close()
	slots := make(chan struct{}, maxInFlight)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
		}
		for batch := c.take(); len(batch) > 0; batch = c.take() {
			slots <- struct{}{} // A request ends within commitTimeout.
			sent := make(chan struct{})
			senders.Go(func() {
				defer func() { <-slots }()
				defer close(sent)
				c.send(context.WithoutCancel(ctx), batch)
			})
			stalled := time.NewTimer(stallAfter)
			select {
			case <-sent:
				if len(batch) >= crowd {
					pause(ctx, crowdPause)
				}
			case <-stalled.C:
			}
			stalled.Stop()
		}
	}
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (c *committer) take() []*pending {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, bytes := 0, 0
	for n < len(c.queue) && n < maxBatch {
		bytes += proto.Size(c.queue[n].m)
		if n > 0 && bytes > maxBatchBytes {
			break
		}
		n++
	}
	batch := c.queue[:n:n]
	c.queue = c.queue[n:]
	return batch
}

// send gives every mutation of the batch its outcome.
func (c *committer) send(ctx context.Context, batch []*pending) {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	req := &metadatav1.CommitRequest{Mutations: make([]*metadatav1.Mutation, len(batch))}
	for i, p := range batch {
		req.Mutations[i] = p.m
	}
	c.sizes.Observe(float64(len(batch)))
	asked, before := withDoubt(ctx)
	resp, err := c.sender.Commit(asked, req)
	if err == nil && len(resp.GetOutcomes()) != len(batch) {
		err = fault.Bug("%d outcomes for %d mutations", len(resp.GetOutcomes()), len(batch))
	}
	if err != nil {
		c.log.WarnContext(ctx, "commit request failed", slog.Int("mutations", len(batch)), log.Error(err))
	}
	for i, p := range batch {
		if err == nil {
			p.outcome = resp.GetOutcomes()[i]
			p.err = fault.FromWire(p.outcome.GetCode(), p.outcome.GetReason(), p.outcome.GetMessage())
		} else {
			p.err = err
		}
		if p.err != nil && !settles(p.err, before.raised) {
			p.err = unknown(p.err)
		}
		close(p.done)
	}
}

// settles says that after this error the mutation is not applied and never will be, by no try of it. What was turned
// away before anything was done about it says that only of itself, so not if another try was left in doubt.
func settles(err error, doubt bool) bool {
	switch {
	case fault.Is(err, typesv1.Reason_REASON_NO_SUCH_BUCKET, typesv1.Reason_REASON_BUCKET_CLOSING,
		typesv1.Reason_REASON_PRECONDITION_FAILED, typesv1.Reason_REASON_WRITER_FENCED):
		return true
	case fault.Code(err) == codes.InvalidArgument:
		return true
	}
	return refused(err) && !doubt
}

// close refuses what waits and what still comes.
func (c *committer) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, p := range c.queue {
		p.err = shuttingDown()
		close(p.done)
	}
	c.queue = nil
}

func unknown(cause error) error {
	return fault.Wrap(cause, codes.Unavailable, typesv1.Reason_REASON_OUTCOME_UNKNOWN,
		"the write may or may not have happened; read to find out, or write again").WithRetryAfter(time.Second)
}

func shuttingDown() error {
	return fault.New(codes.Unavailable, typesv1.Reason_REASON_SHUTTING_DOWN, "this front-door stops").
		WithRetryAfter(time.Second)
}
