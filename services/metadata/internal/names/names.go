package names

import (
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/metadata/internal/head"
	"github.com/drystone-store/drystone/services/metadata/internal/hlc"
)

// Names answers for names over an index. Safe for concurrent use.
type Names struct {
	index head.Index
	clock *hlc.Clock
	now   func() time.Time
}

// New makes Names. The clock must observe what the index sees (head.Options.Observe); now is wall time.
func New(index head.Index, clock *hlc.Clock, now func() time.Time) *Names {
	return &Names{index: index, clock: clock, now: now}
}

// newWriteID is for writes that begin here.
func newWriteID() head.WriteID {
	var id head.WriteID
	for i := 0; i < len(id); i += 8 {
		n := rand.Uint64() // seeded by the system in every process; uniqueness is all that is needed
		for j := range 8 {
			id[i+j] = byte(n >> (8 * j))
		}
	}
	return id
}

func errNoSuchBucket(name string) error {
	return fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_BUCKET, "bucket %q does not exist", name)
}

func errClosing(name string) error {
	return fault.New(codes.Aborted, typesv1.Reason_REASON_BUCKET_CLOSING, "bucket %q is being deleted", name).
		WithRetryAfter(closingRetryAfter)
}
