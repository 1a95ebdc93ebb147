package object

import (
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// span is the part of an object that a read returns.
type span struct {
	offset, length int64
	// partial: a range was asked for and applies, even if it covers everything.
	partial bool
}

// resolveRange applies a Range header's value to an object of size bytes. What is malformed, of another unit or holds
// several ranges is ignored: the whole object is the answer (RFC 9110 §14.2). Errors: RANGE_NOT_SATISFIABLE.
func resolveRange(header string, size int64) (span, error) {
	whole := span{length: size}
	first, last, ok := parseRange(header)
	switch {
	case !ok:
		return whole, nil
	case first < 0: // A suffix of `last` bytes.
		if last == 0 {
			return span{}, notSatisfiable(size)
		}
		if size == 0 {
			return whole, nil // Satisfiable, but Content-Range has no words for a part of nothing.
		}
		n := min(last, size)
		return span{offset: size - n, length: n, partial: true}, nil
	case first >= size:
		return span{}, notSatisfiable(size)
	}
	end := min(last, size-1)
	return span{offset: first, length: end - first + 1, partial: true}, nil
}

// parseRange reads `bytes=first-last`, `bytes=first-` (last is huge) and `bytes=-n` (first is -1, last is n).
func parseRange(header string) (first, last int64, ok bool) {
	unit, set, found := strings.Cut(header, "=")
	if !found || !strings.EqualFold(strings.TrimSpace(unit), "bytes") {
		return 0, 0, false
	}
	from, to, found := strings.Cut(strings.Trim(set, " \t"), "-")
	if !found {
		return 0, 0, false
	}
	if from == "" {
		last, ok = parsePosition(to)
		return -1, last, ok
	}
	if first, ok = parsePosition(from); !ok {
		return 0, 0, false
	}
	if to == "" {
		return first, maxPosition, true
	}
	if last, ok = parsePosition(to); !ok || last < first {
		return 0, 0, false
	}
	return first, last, true
}

// maxPosition is beyond any object; larger numbers in a header mean the same.
const maxPosition = 1<<63 - 1

// parsePosition reads digits and nothing else, of any length.
func parsePosition(s string) (int64, bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	if s == "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return maxPosition, true // Only overflow is left.
	}
	return n, true
}

// rangeApplies evaluates an If-Range header's value: an entity tag, compared strongly, or a date that must be the
// object's (RFC 9110 §13.1.5). Empty applies.
func rangeApplies(ifRange string, o Object) bool {
	ifRange = strings.Trim(ifRange, " \t")
	if ifRange == "" {
		return true
	}
	if l, err := parseETags(ifRange); err == nil && strings.HasSuffix(ifRange, `"`) {
		return len(l.tags) == 1 && l.hasStrong(o.ETag())
	}
	t, err := time.Parse(time.RFC1123, ifRange)
	return err == nil && t.Equal(o.Modified().Truncate(time.Second))
}

func notSatisfiable(size int64) error {
	return fault.New(codes.OutOfRange, typesv1.Reason_REASON_RANGE_NOT_SATISFIABLE,
		"the range begins beyond the object's %d bytes", size).WithMeta(MetaSize, strconv.FormatInt(size, 10))
}
