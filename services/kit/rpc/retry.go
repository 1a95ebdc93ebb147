package rpc

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

const (
	// retriesMost per call: a third try to a peer that refused two is not what heals it.
	retriesMost = 2
	// retryPause is the mean pause before the first retry; it doubles.
	retryPause = 20 * time.Millisecond
	// retryShare of the calls may be retries, so that an outage does not multiply the load; retryBurst may be saved up.
	retryShare = 0.1
	retryBurst = 10.0
)

// retryBudget is a bucket that calls fill and retries empty.
type retryBudget struct {
	mu     sync.Mutex
	tokens float64
}

func newRetryBudget() *retryBudget { return &retryBudget{tokens: retryBurst} }

func (b *retryBudget) earn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(b.tokens+retryShare, retryBurst)
}

func (b *retryBudget) spend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// again repeats a call that failed with err while that may help. An open breaker is final: it speaks for its peer.
func (c *conn) again(ctx context.Context, err error, attempt func() error) error {
	c.retry.earn()
	pause := retryPause
	for range retriesMost {
		if fault.Code(err) != codes.Unavailable || fault.Is(err, typesv1.Reason_REASON_BREAKER_OPEN, typesv1.Reason_REASON_OUTCOME_UNKNOWN) || !c.retry.spend() {
			return err
		}
		if !sleep(ctx, pause/2+rand.N(pause)) {
			return err
		}
		pause *= 2
		err = attempt()
	}
	return err
}

// sleep says whether ctx lived through d.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
