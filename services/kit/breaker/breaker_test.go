package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/breaker"
	"github.com/drystone-store/drystone/services/kit/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The table for each code without a reason; a new code must be added here on purpose.
func TestJudgeEveryCode(t *testing.T) {
	want := map[codes.Code]breaker.Verdict{
		codes.Canceled: breaker.Ignored, codes.Unknown: breaker.Failure, codes.InvalidArgument: breaker.Success,
		codes.DeadlineExceeded: breaker.Failure, codes.NotFound: breaker.Success, codes.AlreadyExists: breaker.Success,
		codes.PermissionDenied: breaker.Success, codes.ResourceExhausted: breaker.Success,
		codes.FailedPrecondition: breaker.Success, codes.Aborted: breaker.Success, codes.OutOfRange: breaker.Success,
		codes.Unimplemented: breaker.Success, codes.Internal: breaker.Failure, codes.Unavailable: breaker.Failure,
		codes.DataLoss: breaker.Success, codes.Unauthenticated: breaker.Success,
	}
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		if got := breaker.Judge(fault.New(code, 0, "")); got != want[code] {
			t.Errorf("%v: verdict %v, want %v", code, got, want[code])
		}
	}
}

func TestJudgeReasons(t *testing.T) {
	unavailable := func(r typesv1.Reason) *fault.Error { return fault.New(codes.Unavailable, r, "") }
	for _, tt := range []struct {
		name string
		err  error
		want breaker.Verdict
	}{
		{"nil", nil, breaker.Success},
		{"context", fmt.Errorf("x: %w", context.Canceled), breaker.Ignored},
		{"anything", errors.New("x"), breaker.Failure},
		{"cannot be reached", unavailable(typesv1.Reason_REASON_UNAVAILABLE), breaker.Failure},
		{"stops", unavailable(typesv1.Reason_REASON_SHUTTING_DOWN), breaker.Failure},
		{"one disk failed", unavailable(typesv1.Reason_REASON_DISK_FAILED), breaker.Success},
		{"one disk is read-only", unavailable(typesv1.Reason_REASON_DISK_READ_ONLY), breaker.Success},
		{"short of disks", unavailable(typesv1.Reason_REASON_NOT_ENOUGH_DISKS), breaker.Success},
		{"a breaker behind it", unavailable(typesv1.Reason_REASON_BREAKER_OPEN), breaker.Success},
		{"over the wire", unavailable(typesv1.Reason_REASON_DISK_FAILED).GRPCStatus().Err(), breaker.Success},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := breaker.Judge(tt.err); got != tt.want {
				t.Errorf("verdict %v, want %v", got, tt.want)
			}
		})
	}
}

func TestStates(t *testing.T) {
	down := fault.New(codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE, "")
	synctest.Test(t, func(t *testing.T) {
		var changes []string
		b := breaker.New(breaker.Options{Peer: "p", Class: "c", OnChange: func(from, to breaker.State) {
			changes = append(changes, from.String()+" → "+to.String())
		}})
		call := func(result error) error {
			done, err := b.Allow()
			if err == nil {
				done(result)
			}
			return err
		}
		for range 4 {
			_ = call(down)
		}
		_ = call(nil) // breaks the row
		for range 4 {
			_ = call(down)
		}
		if err := call(down); err != nil {
			t.Errorf("the fifth in a row was not let through: %v", err)
		}
		if err := call(nil); !fault.Is(err, typesv1.Reason_REASON_BREAKER_OPEN) {
			t.Errorf("open: %v", err)
		}
		time.Sleep(time.Second + time.Millisecond)
		done, err := b.Allow()
		if err != nil {
			t.Fatalf("probe: %v", err)
		}
		if err := call(nil); !fault.Is(err, typesv1.Reason_REASON_BREAKER_OPEN) {
			t.Errorf("two probes at a time: %v", err)
		}
		done(context.Canceled) // says nothing
		if err := call(down); err != nil {
			t.Errorf("a probe after one that said nothing: %v", err)
		}
		time.Sleep(time.Second + time.Millisecond)
		if err := call(nil); err != nil {
			t.Errorf("probe: %v", err)
		}
		want := []string{"closed → open", "open → half-open", "half-open → open", "open → half-open", "half-open → closed"}
		if diff := cmp.Diff(want, changes); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}
	})
}

// Failures that lie more than the window apart do not add up.
func TestOldFailuresAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New(breaker.Options{Peer: "p", Class: "c"})
		for i := range 200 {
			done, err := b.Allow()
			if err != nil {
				t.Fatalf("call %d: %v", i, err)
			}
			var result error
			if i%2 == 0 {
				result = fault.New(codes.Unavailable, 0, "")
			}
			done(result)
			time.Sleep(time.Second) // 10 calls a window, 20 are judged
		}
	})
}

func BenchmarkAllow(b *testing.B) {
	br := breaker.New(breaker.Options{Peer: "p", Class: "c"})
	b.ReportAllocs()
	for b.Loop() {
		done, err := br.Allow()
		if err != nil {
			b.Fatal(err)
		}
		done(nil)
	}
}
