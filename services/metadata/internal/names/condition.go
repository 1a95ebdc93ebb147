package names

import (
	"google.golang.org/grpc/codes"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/metadata/internal/head"
)

// checkCondition says whether a mutation may replace what is under its key. Without a live row there is no ETag: `absent`
// and if_none_match hold, if_match fails.
func checkCondition(c *metadatav1.Condition, current head.Row, live bool) error {
	switch {
	case !c.GetAbsent() && len(c.GetIfMatch()) == 0 && len(c.GetIfNoneMatch()) == 0:
		return nil
	case !live && len(c.GetIfMatch()) == 0:
		return nil
	case !live:
		return errPrecondition("the object does not exist")
	case c.GetAbsent():
		return errPrecondition("the object exists")
	}
	v, err := decodeVersion(current)
	if err != nil {
		return err
	}
	etag := ETag(v)
	if len(c.GetIfMatch()) > 0 && !matchesStrong(etag, c.GetIfMatch()) {
		return errPrecondition("the object's ETag is another")
	}
	if matchesWeak(etag, c.GetIfNoneMatch()) {
		return errPrecondition("the object's ETag is one of those excluded")
	}
	return nil
}

func errPrecondition(why string) error {
	return fault.New(codes.FailedPrecondition, typesv1.Reason_REASON_PRECONDITION_FAILED, "%s", why)
}
