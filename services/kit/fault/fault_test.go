package fault_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const noSuchKey = typesv1.Reason_REASON_NO_SUCH_KEY

func foreignStatus() error {
	st, err := status.New(codes.NotFound, "theirs").WithDetails(&errdetails.ErrorInfo{Reason: "NO_SUCH_KEY", Domain: "elsewhere"})
	if err != nil {
		panic(err)
	}
	return st.Err()
}

func TestReading(t *testing.T) {
	plain := fault.New(codes.NotFound, noSuchKey, "object %q", "k")
	late := plain.WithRetryAfter(time.Second)
	for _, tt := range []struct {
		name   string
		err    error
		code   codes.Code
		reason typesv1.Reason
		retry  time.Duration
	}{
		{"nil", nil, codes.OK, 0, 0},
		{"ours", plain, codes.NotFound, noSuchKey, 0},
		{"ours with a delay", late, codes.NotFound, noSuchKey, time.Second},
		{"ours with text around", fmt.Errorf("get: %w", late), codes.NotFound, noSuchKey, time.Second},
		{"ours among others", errors.Join(io.EOF, plain), codes.NotFound, noSuchKey, 0},
		{"the outermost wins", fault.Wrap(late, codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE, "later"), codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE, 0},
		{"as a status", late.GRPCStatus().Err(), codes.NotFound, noSuchKey, time.Second},
		{"as a status with text around", fmt.Errorf("get: %w", late.GRPCStatus().Err()), codes.NotFound, noSuchKey, time.Second},
		{"a status without a reason", status.Error(codes.Aborted, "x"), codes.Aborted, 0, 0},
		{"another domain's reason", foreignStatus(), codes.NotFound, 0, 0},
		{"deadline", fmt.Errorf("wait: %w", context.DeadlineExceeded), codes.DeadlineExceeded, typesv1.Reason_REASON_DEADLINE_EXCEEDED, 0},
		{"canceled", context.Canceled, codes.Canceled, 0, 0},
		{"a bug", fault.Bug("row %d", 1), codes.Internal, typesv1.Reason_REASON_INTERNAL, 0},
		{"anything", io.ErrUnexpectedEOF, codes.Internal, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := fault.Code(tt.err); got != tt.code {
				t.Errorf("code %v, want %v", got, tt.code)
			}
			if got := fault.Reason(tt.err); got != tt.reason {
				t.Errorf("reason %v, want %v", got, tt.reason)
			}
			if got, ok := fault.RetryAfter(tt.err); got != tt.retry || ok != (tt.retry > 0) {
				t.Errorf("retry after %v (%v), want %v", got, ok, tt.retry)
			}
			if tt.reason != 0 && !fault.Is(tt.err, typesv1.Reason_REASON_OVERLOADED, tt.reason) {
				t.Error("Is does not find the reason")
			}
			if fault.Is(tt.err, typesv1.Reason_REASON_OVERLOADED) {
				t.Error("Is finds another reason")
			}
		})
	}
}

func TestWire(t *testing.T) {
	secret := errors.New("secret")
	e := fault.Wrap(secret, codes.Unavailable, typesv1.Reason_REASON_DISK_FAILED, "disk %s", "d1").
		WithRetryAfter(1500*time.Millisecond).WithMeta("disk", "d1")
	want := status.New(codes.Unavailable, "disk d1").Proto()
	got := e.GRPCStatus().Proto()
	details := got.GetDetails()
	got.Details = nil
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	got.Details = details
	wantDetails := []any{
		&errdetails.ErrorInfo{Reason: "DISK_FAILED", Domain: "drystone", Metadata: map[string]string{"disk": "d1"}},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(1500 * time.Millisecond)},
	}
	if diff := cmp.Diff(wantDetails, e.GRPCStatus().Details(), protocmp.Transform()); diff != "" {
		t.Errorf("details (-want +got):\n%s", diff)
	}
	if e.Error() != "disk d1: secret" || !errors.Is(e, secret) {
		t.Errorf("the cause is lost for logs: %q", e.Error())
	}
	back := fault.FromStatus(e.GRPCStatus())
	if !errors.Is(back, e) || errors.Is(back, secret) || back.RetryAfter() != e.RetryAfter() || !cmp.Equal(back.Meta(), e.Meta()) {
		t.Errorf("back from the wire: %#v", back)
	}
}

func TestFieldsWire(t *testing.T) {
	for _, tt := range []struct {
		name            string
		err             error
		code            int32
		reason, message string
	}{
		{"nil", nil, 0, "", ""},
		{"ours", fault.Wrap(io.EOF, codes.DataLoss, typesv1.Reason_REASON_CHUNK_CORRUPT, "granule 3"), 15, "CHUNK_CORRUPT", "granule 3"},
		{"anything", io.EOF, 13, "INTERNAL", "internal error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, reason, message := fault.ToWire(tt.err)
			if code != tt.code || reason != tt.reason || message != tt.message {
				t.Errorf("got %d %q %q, want %d %q %q", code, reason, message, tt.code, tt.reason, tt.message)
			}
			back := fault.FromWire(code, reason, message)
			if (back == nil) != (tt.err == nil) || fault.Code(back) != codes.Code(tt.code) || fault.Name(fault.Reason(back)) != tt.reason {
				t.Errorf("back: %v", back)
			}
		})
	}
	newer := fault.FromWire(5, "REASON_OF_TOMORROW", "x")
	if fault.Code(newer) != codes.NotFound || fault.Reason(newer) != 0 {
		t.Errorf("a reason of a newer version: %v", newer)
	}
}

// Every reason survives the way over the wire.
func TestEveryReasonTravels(t *testing.T) {
	for number, name := range typesv1.Reason_name {
		if number == 0 {
			continue
		}
		r := typesv1.Reason(number)
		if "REASON_"+fault.Name(r) != name {
			t.Errorf("%s is named %q", name, fault.Name(r))
		}
		if got := fault.Reason(fault.New(codes.Internal, r, "").GRPCStatus().Err()); got != r {
			t.Errorf("%v came back as %v", r, got)
		}
	}
}

func TestErrorsAreImmutable(t *testing.T) {
	base := fault.New(codes.Unavailable, typesv1.Reason_REASON_OVERLOADED, "busy")
	one := base.WithMeta("a", "1")
	_ = one.WithMeta("b", "2").WithRetryAfter(time.Second)
	if base.Meta() != nil || !cmp.Equal(one.Meta(), map[string]string{"a": "1"}) || one.RetryAfter() != 0 {
		t.Errorf("With changed its receiver: %v, %v", base.Meta(), one.Meta())
	}
	one.Meta()["a"] = "changed"
	if one.Meta()["a"] != "1" {
		t.Error("Meta gives the error's own map")
	}
}

func TestFromContext(t *testing.T) {
	ours := fault.Wrap(context.Canceled, codes.Aborted, typesv1.Reason_REASON_BUCKET_CLOSING, "")
	for _, tt := range []struct {
		name string
		err  error
		code codes.Code
		same bool
	}{
		{"nil", nil, codes.OK, true},
		{"ours around it", ours, codes.Aborted, true},
		{"another error", io.EOF, codes.Internal, true},
		{"deadline", context.DeadlineExceeded, codes.DeadlineExceeded, false},
		{"canceled", fmt.Errorf("x: %w", context.Canceled), codes.Canceled, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := fault.FromContext(tt.err)
			if fault.Code(got) != tt.code || (got == tt.err) != tt.same { //nolint:errorlint // identity is meant
				t.Errorf("got %v", got)
			}
			if tt.err != nil && !errors.Is(got, tt.err) {
				t.Error("the cause is lost")
			}
		})
	}
}

// A code of OK is no error; who makes one has a bug that must not look like success.
func TestOKIsNoError(t *testing.T) {
	if got := status.Code(fault.New(codes.OK, 0, "x").GRPCStatus().Err()); got != codes.Internal {
		t.Errorf("got %v", got)
	}
}

func Example() {
	err := fmt.Errorf("read row: %w", fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_KEY, "object %q", "a/b"))
	if fault.Is(err, typesv1.Reason_REASON_NO_SUCH_KEY) {
		fmt.Println(fault.Code(err), fault.Name(fault.Reason(err)), fault.From(err).Message())
	}
	// Output: NotFound NO_SUCH_KEY object "a/b"
}
