package rest

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/frontdoor/internal/object"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// writeError answers with the error as google.rpc.Status JSON; its ErrorInfo has the reason.
func writeError(x *exchange, err error) {
	f := withReason(fault.From(err))
	x.reason = fault.Name(f.Reason())
	header := x.Header()
	// What an answer that did not come about had set.
	for _, name := range []string{"Content-Length", "Content-Type", "Content-Range", "ETag", "Last-Modified"} {
		header.Del(name)
	}
	errorHeaders(header, f)
	status := httpStatus(f)
	if status == http.StatusNotModified {
		x.WriteHeader(status)
		return
	}
	// Options of the zero kind: an error has no field whose default says anything.
	body, merr := protojson.Marshal(f.GRPCStatus().Proto())
	if merr != nil {
		body = []byte(`{"code":13,"message":"internal error"}`)
		status = http.StatusInternalServerError
	}
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	x.WriteHeader(status)
	_, _ = x.Write(body) // The exchange accounts for it.
}

// withReason gives errors of the gateway itself, for example of a query that does not parse, the reason of their code.
func withReason(f *fault.Error) *fault.Error {
	if f.Reason() != typesv1.Reason_REASON_UNSPECIFIED {
		return f
	}
	reason := typesv1.Reason_REASON_INTERNAL
	switch f.Code() {
	case codes.InvalidArgument, codes.OutOfRange, codes.FailedPrecondition:
		reason = typesv1.Reason_REASON_INVALID_ARGUMENT
	case codes.DeadlineExceeded:
		reason = typesv1.Reason_REASON_DEADLINE_EXCEEDED
	case codes.Unavailable:
		reason = typesv1.Reason_REASON_UNAVAILABLE
	case codes.Unimplemented:
		reason = typesv1.Reason_REASON_METHOD_NOT_ALLOWED
	case codes.Canceled:
		return f // The client went away.
	default:
	}
	// Its text may quote the request, and that need not be UTF-8.
	return fault.Wrap(f, f.Code(), reason, "%s", strings.ToValidUTF8(f.Message(), "�"))
}

// httpStatus maps reasons where HTTP knows more than gRPC, and codes otherwise.
func httpStatus(f *fault.Error) int {
	switch f.Reason() {
	case typesv1.Reason_REASON_PRECONDITION_FAILED:
		return http.StatusPreconditionFailed
	case typesv1.Reason_REASON_NOT_MODIFIED:
		return http.StatusNotModified
	case typesv1.Reason_REASON_RANGE_NOT_SATISFIABLE:
		return http.StatusRequestedRangeNotSatisfiable
	case typesv1.Reason_REASON_OBJECT_TOO_LARGE:
		return http.StatusRequestEntityTooLarge
	case typesv1.Reason_REASON_BUCKET_NOT_EMPTY, typesv1.Reason_REASON_BUCKET_ALREADY_EXISTS:
		return http.StatusConflict
	default:
	}
	if f.Code() == codes.Unimplemented {
		return http.StatusMethodNotAllowed
	}
	return runtime.HTTPStatusFromCode(f.Code())
}

// errorHeaders sets what the statuses call for.
func errorHeaders(header http.Header, f *fault.Error) {
	meta := f.Meta()
	switch httpStatus(f) {
	case http.StatusUnauthorized:
		header.Set("WWW-Authenticate", `Bearer realm="drystone"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		header.Set("Retry-After", strconv.Itoa(seconds(f.RetryAfter())))
	case http.StatusRequestedRangeNotSatisfiable:
		header.Set("Content-Range", "bytes */"+meta[object.MetaSize])
	case http.StatusNotModified, http.StatusPreconditionFailed:
		if tag := meta[object.MetaETag]; tag != "" {
			header.Set("ETag", tag)
		}
		if unix, err := strconv.ParseInt(meta[object.MetaLastModified], 10, 64); err == nil {
			header.Set("Last-Modified", time.Unix(unix, 0).UTC().Format(http.TimeFormat))
		}
	}
}

// seconds rounds a delay up to what Retry-After can say, at least 1.
func seconds(d time.Duration) int { return max(1, int(math.Ceil(d.Seconds()))) }

func methodNotAllowed(x *exchange) {
	var allowed []string
	for _, r := range routesOf(x.request.URL.Path) {
		allowed = append(allowed, r.method)
	}
	x.Header().Set("Allow", strings.Join(allowed, ", "))
	writeError(x, fault.New(codes.Unimplemented, typesv1.Reason_REASON_METHOD_NOT_ALLOWED,
		"this path does not answer to %s", strings.ToValidUTF8(x.request.Method, "?")))
}
