// Package fault is the one error type that crosses service borders.
//
// The code says what to do (retry? whose fault?), the reason says what happened (stable, machine-readable), the
// message is for people.
//
// Constraints:
//
//  1. On the wire travel code, message, reason, metadata and retry delay; a cause never does. It is for this process's
//     logs.
//  2. The reason travels as google.rpc.ErrorInfo{reason: the enum's name without REASON_, domain: "drystone"}, the
//     delay as google.rpc.RetryInfo.
//  3. The outermost *Error in a chain decides: who wraps anew means it.
//  4. Text added by fmt.Errorf around an *Error stays in this process, like a cause.
package fault

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
)

// Domain is the ErrorInfo domain of every reason of this system.
const Domain = "drystone"

// internalMessage is all that a caller learns of a bug; the log has the rest under the correlation id.
const internalMessage = "internal error"

const reasonPrefix = "REASON_"

// Error is an error with a gRPC code and a reason. It is immutable: the With methods return copies.
type Error struct {
	code       codes.Code
	reason     typesv1.Reason
	message    string
	cause      error
	retryAfter time.Duration
	meta       map[string]string
}

// New makes an error without a cause. The message reaches the caller, also over the network.
func New(code codes.Code, reason typesv1.Reason, format string, args ...any) *Error {
	return &Error{code: code, reason: reason, message: fmt.Sprintf(format, args...)}
}

// Wrap makes an error that keeps err for this process's logs and for errors.Is and errors.As; err is not sent over the
// wire. Code, reason and message are the new ones.
func Wrap(err error, code codes.Code, reason typesv1.Reason, format string, args ...any) *Error {
	e := New(code, reason, format, args...)
	e.cause = err
	return e
}

// Bug reports a broken invariant: INTERNAL. The text is for this process's log only, callers see "internal error".
func Bug(format string, args ...any) *Error {
	return Wrap(fmt.Errorf(format, args...), codes.Internal, typesv1.Reason_REASON_INTERNAL, internalMessage)
}

// WithRetryAfter returns a copy that asks the caller to wait for d before it tries again.
func (e *Error) WithRetryAfter(d time.Duration) *Error {
	c := *e
	c.retryAfter = d
	return &c
}

// WithMeta returns a copy with one more ErrorInfo metadata entry. Values reach callers: no secrets, no object keys of
// others.
func (e *Error) WithMeta(key, value string) *Error {
	c := *e
	c.meta = maps.Clone(e.meta)
	if c.meta == nil {
		c.meta = make(map[string]string, 1)
	}
	c.meta[key] = value
	return &c
}

// Error is the message with the causes, for logs.
func (e *Error) Error() string {
	if e.cause == nil {
		return e.message
	}
	return e.message + ": " + e.cause.Error()
}

// Unwrap returns the cause, nil when there is none.
func (e *Error) Unwrap() error { return e.cause }

// Is says that target is an *Error of the same code and reason.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.code == e.code && t.reason == e.reason
}

// Code is the gRPC code.
func (e *Error) Code() codes.Code { return e.code }

// Reason is the reason, UNSPECIFIED when there is none.
func (e *Error) Reason() typesv1.Reason { return e.reason }

// Message is what callers see: no causes.
func (e *Error) Message() string { return e.message }

// Meta returns a copy of the ErrorInfo metadata, nil when there is none.
func (e *Error) Meta() map[string]string { return maps.Clone(e.meta) }

// RetryAfter is the delay asked for, 0 for none.
func (e *Error) RetryAfter() time.Duration { return e.retryAfter }

// GRPCStatus is the error as it goes over the wire.
func (e *Error) GRPCStatus() *status.Status {
	st := status.New(e.code, e.message)
	if e.code == codes.OK {
		return status.New(codes.Internal, internalMessage)
	}
	var details []protoadapt.MessageV1
	if e.reason != typesv1.Reason_REASON_UNSPECIFIED || len(e.meta) > 0 {
		details = append(details, &errdetails.ErrorInfo{Reason: Name(e.reason), Domain: Domain, Metadata: maps.Clone(e.meta)})
	}
	if e.retryAfter > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(e.retryAfter)})
	}
	if len(details) == 0 {
		return st
	}
	if with, err := st.WithDetails(details...); err == nil {
		return with
	}
	return st // unreachable: both details are well-formed messages; the code and message still are right
}

// Name is a reason as it travels: without the REASON_ prefix, empty for UNSPECIFIED.
func Name(r typesv1.Reason) string {
	if r == typesv1.Reason_REASON_UNSPECIFIED {
		return ""
	}
	return strings.TrimPrefix(r.String(), reasonPrefix)
}

// parseReason is Name backwards; names that this version does not know are UNSPECIFIED.
func parseReason(name string) typesv1.Reason {
	return typesv1.Reason(typesv1.Reason_value[reasonPrefix+name])
}

// Reason is the reason of the outermost *Error in err's chain, or of a gRPC status with our ErrorInfo; a context error
// has DEADLINE_EXCEEDED, anything else UNSPECIFIED.
func Reason(err error) typesv1.Reason {
	if e := find(err); e != nil {
		return e.reason
	}
	return typesv1.Reason_REASON_UNSPECIFIED
}

// Code is the gRPC code that a caller over the wire would see: OK for nil, INTERNAL for errors of no known kind.
func Code(err error) codes.Code {
	if err == nil {
		return codes.OK
	}
	if e := find(err); e != nil {
		return e.code
	}
	return codes.Internal
}

// RetryAfter is the delay that err asks for; false when it asks for none.
func RetryAfter(err error) (time.Duration, bool) {
	e := find(err)
	if e == nil || e.retryAfter <= 0 {
		return 0, false
	}
	return e.retryAfter, true
}

// Is says that err has one of the reasons.
func Is(err error, reasons ...typesv1.Reason) bool {
	if err == nil {
		return false
	}
	got := Reason(err)
	for _, r := range reasons {
		if r == got {
			return true
		}
	}
	return false
}

// As returns the outermost *Error of err's chain.
func As(err error) (*Error, bool) {
	var e *Error
	ok := errors.As(err, &e)
	return e, ok
}
