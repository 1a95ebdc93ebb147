package volume

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

const (
	// memoryPatience bounds a wait for memory before anything was done: longer than a burst takes, shorter than what a
	// client takes for an outage. Beyond it who holds the memory waits for clients of his own, and that may take any
	// time.
	memoryPatience = 3 * time.Second
	// stripePatience bounds the wait of an upload for its next stripe: all that was written would be lost, and others
	// need so long only when all of them are stuck.
	stripePatience = 30 * time.Second
	// memoryRetryAfter is what whoever waited in vain is told to wait.
	memoryRetryAfter = time.Second
)

// budget is memory that can be waited for.
type budget interface {
	Acquire(ctx context.Context, n int64) error
}

// acquire takes n bytes of a budget and waits for them, but not for long. Errors: OVERLOADED with a retry delay; the
// context's.
func acquire(ctx context.Context, memory budget, n int64, patience time.Duration) error {
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := memory.Acquire(waiting, n)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("waiting for memory: %w", fault.FromContext(ctx.Err()))
	default:
		return fault.Wrap(err, codes.Unavailable, typesv1.Reason_REASON_OVERLOADED,
			"no memory came free within %v", patience).WithRetryAfter(memoryRetryAfter)
	}
}
