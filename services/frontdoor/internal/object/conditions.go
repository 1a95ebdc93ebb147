package object

import (
	"strconv"
	"time"

	"google.golang.org/grpc/codes"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// Keys of ErrorInfo metadata that a presentation needs: a 304 and a 412 carry the validators of what is there.
const (
	MetaETag         = "etag"
	MetaLastModified = "lastModified"
	// MetaSize accompanies RANGE_NOT_SATISFIABLE: the object's bytes, in decimal.
	MetaSize = "size"
)

// conditions are RFC 9110 §13 preconditions, parsed.
type conditions struct {
	match, noneMatch           etagList
	modifiedSince              time.Time
	unmodifiedSince            time.Time
	hasModified, hasUnmodified bool
}

func parseConditions(p *apiv1.Preconditions) (conditions, error) {
	var c conditions
	var err error
	if c.match, err = parseETags(p.GetIfMatch()); err != nil {
		return conditions{}, invalid("if-match: %v", err)
	}
	if c.noneMatch, err = parseETags(p.GetIfNoneMatch()); err != nil {
		return conditions{}, invalid("if-none-match: %v", err)
	}
	if t := p.GetIfModifiedSince(); t != nil {
		c.modifiedSince, c.hasModified = t.AsTime(), true
	}
	if t := p.GetIfUnmodifiedSince(); t != nil {
		c.unmodifiedSince, c.hasUnmodified = t.AsTime(), true
	}
	return c, nil
}

// checkRead evaluates the conditions of a GET or HEAD in the order of RFC 9110 §13.2.2.
// Errors: PRECONDITION_FAILED, NOT_MODIFIED.
func (c conditions) checkRead(o Object) error {
	tag := o.ETag()
	// HTTP dates have whole seconds; what clients send back was cut.
	modified := o.Modified().Truncate(time.Second)
	switch {
	case c.match.given():
		if !c.match.hasStrong(tag) {
			return preconditionFailed(o)
		}
	case c.hasUnmodified && modified.After(c.unmodifiedSince):
		return preconditionFailed(o)
	}
	switch {
	case c.noneMatch.given():
		if c.noneMatch.hasWeak(tag) {
			return notModified(o)
		}
	case c.hasModified && !modified.After(c.modifiedSince):
		return notModified(o)
	}
	return nil
}

// writes says whether a write has conditions at all.
func (c conditions) writes() bool { return c.match.given() || c.noneMatch.given() }

// checkWrite evaluates the conditions of a PUT or DELETE against what is there; there may be nothing.
// Errors: PRECONDITION_FAILED.
func (c conditions) checkWrite(o Object, exists bool) error {
	if c.match.given() && (!exists || !c.match.hasStrong(o.ETag())) {
		return preconditionFailed(o)
	}
	if c.noneMatch.given() && exists && c.noneMatch.hasWeak(o.ETag()) {
		return preconditionFailed(o)
	}
	return nil
}

// commit is what the commit compares; nil for no condition.
func (c conditions) commit() *metadatav1.Condition {
	if !c.writes() {
		return nil
	}
	out := &metadatav1.Condition{Absent: c.noneMatch.any}
	if c.match.any {
		out.IfMatch = []string{"*"}
	}
	for _, t := range c.match.tags {
		if !t.weak {
			out.IfMatch = append(out.IfMatch, t.opaque)
		}
	}
	for _, t := range c.noneMatch.tags {
		out.IfNoneMatch = append(out.IfNoneMatch, t.opaque)
	}
	return out
}

// never says that no object can satisfy the conditions: weak tags match nothing in a strong comparison.
func (c conditions) never() bool {
	if !c.match.given() || c.match.any {
		return false
	}
	for _, t := range c.match.tags {
		if !t.weak {
			return false
		}
	}
	return true
}

func preconditionFailed(o Object) error {
	return withValidators(fault.New(codes.FailedPrecondition, typesv1.Reason_REASON_PRECONDITION_FAILED,
		"a precondition does not hold"), o)
}

func notModified(o Object) error {
	return withValidators(fault.New(codes.FailedPrecondition, typesv1.Reason_REASON_NOT_MODIFIED,
		"the object has not changed"), o)
}

func withValidators(e *fault.Error, o Object) error {
	if o.Row == nil {
		return e
	}
	return e.WithMeta(MetaETag, o.ETag()).
		WithMeta(MetaLastModified, strconv.FormatInt(o.Modified().Unix(), 10))
}
