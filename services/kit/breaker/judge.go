package breaker

import (
	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// Verdict is what one answer says about the peer that gave it.
type Verdict int

const (
	// Success says that the peer serves.
	Success Verdict = iota
	// Failure says that it does not.
	Failure
	// Ignored says nothing about the peer.
	Ignored
)

// Judge is the table of what counts against a peer.
//
//	UNAVAILABLE        failure: nobody answers, or the peer cannot reach what it needs; another replica may.
//	                   But success when the reason shows a peer that serves: one of its disks is out
//	                   (DISK_FAILED, DISK_READ_ONLY), the cluster is short of disks, it sheds load, a breaker of its own
//	                   is open (breakers must not cascade), the fate of a write is unknown.
//	DEADLINE_EXCEEDED  failure: too slow is not served. (rpc reports only calls that had a fair time, see there.)
//	INTERNAL, UNKNOWN  failure: a peer whose calls mostly hit a bug is of no use; single poisoned requests do not
//	                   reach the share that opens.
//	CANCELLED          ignored: the caller went away, also after a hedge won.
//	DATA_LOSS          success: one chunk is rotten, the node's others are not.
//	RESOURCE_EXHAUSTED success: the peer lives and bounds its load itself; to close the door on it as well would turn
//	                   shedding a little into serving nothing.
//	all others         success: the caller's fault, or a plain answer (NOT_FOUND).
func Judge(err error) Verdict {
	if err == nil {
		return Success
	}
	switch fault.Code(err) {
	case codes.Unavailable:
		if fault.Is(err,
			typesv1.Reason_REASON_DISK_FAILED, typesv1.Reason_REASON_DISK_READ_ONLY, typesv1.Reason_REASON_DISK_FULL,
			typesv1.Reason_REASON_NOT_ENOUGH_DISKS, typesv1.Reason_REASON_OVERLOADED,
			typesv1.Reason_REASON_BREAKER_OPEN, typesv1.Reason_REASON_OUTCOME_UNKNOWN) {
			return Success
		}
		return Failure
	case codes.DeadlineExceeded, codes.Internal, codes.Unknown:
		return Failure
	case codes.Canceled:
		return Ignored
	case codes.OK, codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied,
		codes.ResourceExhausted, codes.FailedPrecondition, codes.Aborted, codes.OutOfRange, codes.Unimplemented,
		codes.DataLoss, codes.Unauthenticated:
		return Success
	}
	return Success
}
