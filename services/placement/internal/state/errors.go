package state

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// retryAfter is what a caller is told while etcd does not answer: elections take about a second.
const retryAfter = time.Second

// unavailable is the answer when etcd gave none.
func unavailable(err error, doing string) error {
	return fault.Wrap(err, codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE, "etcd: %s", doing).
		WithRetryAfter(retryAfter)
}

// failed says whose time was up: the caller's, or etcd's.
func failed(ctx context.Context, err error, doing string) error {
	if ctx.Err() != nil {
		return fault.FromContext(ctx.Err())
	}
	return unavailable(err, doing)
}

func noSuchVolume(id uint64) error {
	return fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_VOLUME, "volume %016x is not in the map", id)
}

func conflict(id uint64, format string, args ...any) error {
	all := append([]any{id}, args...)
	return fault.New(codes.Aborted, typesv1.Reason_REASON_VOLUME_CONFLICT, "volume %016x "+format, all...)
}

func termExpired(term uint64) error {
	return fault.New(codes.FailedPrecondition, typesv1.Reason_REASON_TERM_EXPIRED,
		"term %d is over; start another", term)
}
