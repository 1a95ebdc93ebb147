package fault

import (
	"context"
	"errors"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
)

// From makes any error an *Error: one in the chain is returned as it is, a gRPC status and a context error are
// converted with err as the cause, everything else is INTERNAL with the text kept off the wire. Nil for nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	if e := find(err); e != nil {
		return e
	}
	return Wrap(err, codes.Internal, typesv1.Reason_REASON_INTERNAL, internalMessage)
}

// FromContext converts context.DeadlineExceeded (DEADLINE_EXCEEDED) and context.Canceled (CANCELED) anywhere in err's
// chain; an *Error around them wins, other errors and nil come back unchanged.
func FromContext(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := As(err); ok {
		return err
	}
	if e := fromContext(err); e != nil {
		return e
	}
	return err
}

// FromStatus converts a gRPC status as a client receives it; nil for OK and nil.
func FromStatus(st *status.Status) *Error {
	if st.Code() == codes.OK {
		return nil
	}
	e := &Error{code: st.Code(), message: st.Message()}
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			if d.GetDomain() == Domain {
				e.reason = parseReason(d.GetReason())
				e.meta = d.GetMetadata()
			}
		case *errdetails.RetryInfo:
			e.retryAfter = d.GetRetryDelay().AsDuration()
		}
	}
	return e
}

// FromWire rebuilds an error that travelled as three message fields; nil for code 0.
func FromWire(code int32, reason, message string) error {
	if code == 0 {
		return nil
	}
	c := codes.Code(code)
	return &Error{code: c, reason: parseReason(reason), message: message}
}

// ToWire is what FromWire takes: code, reason's name and message, without causes, metadata and delay. (0, "", "") for
// nil.
func ToWire(err error) (code int32, reason, message string) {
	if err == nil {
		return 0, "", ""
	}
	e := From(err)
	return int32(e.code), Name(e.reason), e.message
}

// find looks for what has a code: an *Error, a gRPC status, a context error, in this order.
func find(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := As(err); ok {
		return e
	}
	var carrier interface{ GRPCStatus() *status.Status }
	if errors.As(err, &carrier) {
		if e := FromStatus(carrier.GRPCStatus()); e != nil {
			e.cause = err
			return e
		}
	}
	return fromContext(err)
}

func fromContext(err error) *Error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return Wrap(err, codes.DeadlineExceeded, typesv1.Reason_REASON_DEADLINE_EXCEEDED, "the deadline passed")
	case errors.Is(err, context.Canceled):
		return Wrap(err, codes.Canceled, typesv1.Reason_REASON_UNSPECIFIED, "the caller went away")
	}
	return nil
}
