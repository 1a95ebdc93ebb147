package names

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/rpc"
)

// replica answers each call with the next of its errors, then with success.
type replica struct {
	rpc.Conn
	errs  []error
	calls int
}

func (r *replica) Invoke(ctx context.Context, _ string, _, _ any, _ ...grpc.CallOption) error {
	r.calls++
	if len(r.errs) == 0 {
		return nil
	}
	err := r.errs[0]
	if len(r.errs) > 1 || !errors.Is(err, errForEver) {
		r.errs = r.errs[1:]
	}
	if errors.Is(err, errHang) {
		<-ctx.Done()
		return fault.FromContext(ctx.Err())
	}
	if errors.Is(err, errForEver) {
		return fault.New(codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE, "down")
	}
	return err
}

func (r *replica) Close() error { return nil }

var (
	errHang    = errors.New("hangs")
	errForEver = errors.New("is down for ever")
)

func TestInvokeAsksAnotherReplica(t *testing.T) {
	down := fault.New(codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE, "cannot be reached")
	breaker := fault.New(codes.Unavailable, typesv1.Reason_REASON_BREAKER_OPEN, "open")
	stops := fault.New(codes.Unavailable, typesv1.Reason_REASON_SHUTTING_DOWN, "stops")
	missing := fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_KEY, "no")
	unknown := fault.New(codes.Unavailable, typesv1.Reason_REASON_OUTCOME_UNKNOWN, "who knows")
	for name, tc := range map[string]struct {
		first, second []error
		want          typesv1.Reason
		doubt         bool
		calls         [2]int
	}{
		"the first one answers":      {nil, nil, 0, false, [2]int{1, 0}},
		"the first one is down":      {[]error{down}, nil, 0, true, [2]int{1, 1}},
		"the first one stops":        {[]error{stops}, nil, 0, false, [2]int{1, 1}},
		"the first one hangs":        {[]error{errHang}, nil, 0, true, [2]int{1, 1}},
		"both restart":               {[]error{down}, []error{down, down}, 0, true, [2]int{2, 1}},
		"an answer is an answer":     {[]error{missing}, nil, missing.Reason(), false, [2]int{1, 0}},
		"unknown is an answer":       {[]error{unknown}, nil, unknown.Reason(), false, [2]int{1, 0}},
		"refused, then an answer":    {[]error{breaker}, []error{missing}, missing.Reason(), false, [2]int{1, 1}},
		"no answer, then an answer":  {[]error{down}, []error{missing}, missing.Reason(), true, [2]int{1, 1}},
		"both are down for ever":     {[]error{errForEver}, []error{errForEver}, typesv1.Reason_REASON_UNAVAILABLE, true, [2]int{}},
		"both refuse, then one acts": {[]error{breaker}, []error{stops}, 0, false, [2]int{2, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := &replica{errs: tc.first}, &replica{errs: tc.second}
				r := &Replicas{rpc.NewReplicas(attemptTimeout, a, b)}
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				ctx, left := withDoubt(ctx)
				err := r.Invoke(ctx, metadatav1.MetadataService_GetBucket_FullMethodName, nil, nil)
				if fault.Reason(err) != tc.want {
					t.Fatalf("%v, want %v", err, tc.want)
				}
				if left.raised != tc.doubt {
					t.Fatalf("doubt %v: %v", left.raised, err)
				}
				if tc.calls != [2]int{} && [2]int{a.calls, b.calls} != tc.calls {
					t.Fatalf("%d and %d calls, want %v", a.calls, b.calls, tc.calls)
				}
			})
		})
	}
}

// The end of the caller's patience in the middle of a first attempt leaves doubt.
func TestInvokeGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &Replicas{rpc.NewReplicas(attemptTimeout, &replica{errs: []error{errHang}})}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		ctx, left := withDoubt(ctx)
		begin := time.Now()
		err := r.Invoke(ctx, "", nil, nil)
		if err == nil || !left.raised || time.Since(begin) != time.Second {
			t.Fatalf("%v after %v, doubt %v", err, time.Since(begin), left.raised)
		}
	})
}

// A replica that failed is not the first to be asked next time.
func TestInvokeRemembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &replica{errs: []error{fault.New(codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE, "down")}}
		b := &replica{}
		r := &Replicas{rpc.NewReplicas(attemptTimeout, a, b)}
		for range 3 {
			if err := r.Invoke(t.Context(), "", nil, nil); err != nil {
				t.Fatal(err)
			}
		}
		if a.calls != 1 || b.calls != 3 {
			t.Fatalf("%d and %d calls", a.calls, b.calls)
		}
	})
}

func TestDialNeedsTargets(t *testing.T) {
	if _, err := Dial(rpc.NewDialer(rpc.DialerOptions{}), nil); err == nil {
		t.Fatal("no error")
	}
}
