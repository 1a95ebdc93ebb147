package names

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/log"
)

// sender is a metadata service that does what a test tells it.
type sender struct {
	metadatav1.MetadataServiceClient

	mu      sync.Mutex
	batches []int
	since   []int64
	serve   func(ctx context.Context, n int, req *metadatav1.CommitRequest) (*metadatav1.CommitResponse, error)
}

func (s *sender) Commit(
	ctx context.Context, req *metadatav1.CommitRequest, _ ...grpc.CallOption,
) (*metadatav1.CommitResponse, error) {
	s.mu.Lock()
	s.batches = append(s.batches, len(req.GetMutations()))
	for _, m := range req.GetMutations() {
		s.since = append(s.since, m.GetSince())
	}
	n := len(s.batches)
	s.mu.Unlock()
	return s.serve(ctx, n, req)
}

// applied says that every mutation was applied; its version is the key's length.
func applied(req *metadatav1.CommitRequest) *metadatav1.CommitResponse {
	resp := &metadatav1.CommitResponse{}
	for _, m := range req.GetMutations() {
		resp.Outcomes = append(resp.Outcomes, &metadatav1.Outcome{Version: uint64(len(m.GetKey())), Revision: 7})
	}
	return resp
}

// start runs a client until the test ends. It belongs inside a bubble.
func start(t *testing.T, s *sender) (c *Client, stop func()) {
	t.Helper()
	c, err := New(s, log.Discard(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := c.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	return c, func() {
		cancel()
		<-done
	}
}

func mutation(key string) *metadatav1.Mutation { return &metadatav1.Mutation{Bucket: "b", Key: key} }

func TestCommitsGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sender{serve: func(_ context.Context, _ int, req *metadatav1.CommitRequest) (*metadatav1.CommitResponse, error) {
			time.Sleep(10 * time.Millisecond)
			return applied(req), nil
		}}
		c, stop := start(t, s)
		defer stop()
		var callers sync.WaitGroup
		commit := func(key string) {
			callers.Go(func() {
				version, err := c.Commit(t.Context(), mutation(key))
				if err != nil || version != uint64(len(key)) {
					t.Errorf("%q: version %d, %v", key, version, err)
				}
			})
		}
		commit("first")
		synctest.Wait()
		const rest = 1500
		for i := range rest {
			commit(strings.Repeat("k", 1+i%9))
		}
		callers.Wait()
		if got, want := fmt.Sprint(s.batches), fmt.Sprint([]int{1, maxBatch, rest - maxBatch}); got != want {
			t.Fatalf("batches of %s, want %s", got, want)
		}
	})
}

// TestCrowdsGather: what a crowd's first request did not take waits for its stragglers, so that they cost one more
// request, not one each. Steady traffic waits for nothing.
func TestCrowdsGather(t *testing.T) {
	for name, tt := range map[string]struct {
		first int
		want  []int
	}{
		"a crowd":        {crowd, []int{1, crowd, 2}},
		"steady traffic": {crowd - 1, []int{1, crowd - 1, 1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &sender{serve: func(_ context.Context, _ int, req *metadatav1.CommitRequest) (*metadatav1.CommitResponse, error) {
					time.Sleep(2 * time.Millisecond)
					return applied(req), nil
				}}
				c, stop := start(t, s)
				var callers sync.WaitGroup
				commitAfter := func(d time.Duration, key string) {
					callers.Go(func() {
						time.Sleep(d)
						if _, err := c.Commit(t.Context(), mutation(key)); err != nil {
							t.Error(err)
						}
					})
				}
				commitAfter(0, "alone, while the others gather")
				for i := range tt.first {
					commitAfter(time.Millisecond, fmt.Sprint(i))
				}
				commitAfter(3*time.Millisecond, "soon")
				commitAfter(7*time.Millisecond, "later")
				callers.Wait()
				stop()
				if diff := cmp.Diff(tt.want, s.batches); diff != "" {
					t.Errorf("mutations in each request (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestBatchesAreBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sender{serve: func(_ context.Context, _ int, req *metadatav1.CommitRequest) (*metadatav1.CommitResponse, error) {
			time.Sleep(10 * time.Millisecond)
			return applied(req), nil
		}}
		c, stop := start(t, s)
		defer stop()
		var callers sync.WaitGroup
		for range 5 {
			callers.Go(func() {
				_, err := c.Commit(t.Context(), mutation(strings.Repeat("k", maxBatchBytes/2)))
				if err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		callers.Wait()
		for _, n := range s.batches {
			if n > 1 {
				t.Fatalf("batches of %v", s.batches)
			}
		}
	})
}

// A request that hangs holds up the next ones only for a moment.
func TestStalledRequestIsOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sender{serve: func(ctx context.Context, n int, req *metadatav1.CommitRequest) (*metadatav1.CommitResponse, error) {
			if n == 1 {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return applied(req), nil
		}}
		c, stop := start(t, s)
		defer stop()
		begin := time.Now()
		var callers sync.WaitGroup
		callers.Go(func() {
			_, err := c.Commit(t.Context(), mutation("hangs"))
			if !fault.Is(err, typesv1.Reason_REASON_OUTCOME_UNKNOWN) || fault.Code(err) != codes.Unavailable {
				t.Errorf("the hanging one: %v", err)
			}
			if took := time.Since(begin); took != commitTimeout {
				t.Errorf("the hanging one took %v", took)
			}
		})
		synctest.Wait()
		callers.Go(func() {
			if _, err := c.Commit(t.Context(), mutation("goes on")); err != nil {
				t.Error(err)
			}
			if took := time.Since(begin); took != stallAfter {
				t.Errorf("the next one took %v", took)
			}
		})
		callers.Wait()
	})
}

// What became of a mutation is told for sure, or not at all; an attempt that was left in doubt makes later refusals
// say nothing.
func TestOutcomes(t *testing.T) {
	outcome := func(code codes.Code, reason string) *metadatav1.CommitResponse {
		return &metadatav1.CommitResponse{Outcomes: []*metadatav1.Outcome{{Code: int32(code), Reason: reason}}}
	}
	const unsure = typesv1.Reason_REASON_OUTCOME_UNKNOWN
	for name, tc := range map[string]struct {
		resp            *metadatav1.CommitResponse
		err             error
		sure, afterward typesv1.Reason // without and with doubt
	}{
		"applied":          {outcome(0, ""), nil, 0, 0},
		"precondition":     {outcome(codes.FailedPrecondition, "PRECONDITION_FAILED"), nil, typesv1.Reason_REASON_PRECONDITION_FAILED, typesv1.Reason_REASON_PRECONDITION_FAILED},
		"fenced":           {outcome(codes.FailedPrecondition, "WRITER_FENCED"), nil, typesv1.Reason_REASON_WRITER_FENCED, typesv1.Reason_REASON_WRITER_FENCED},
		"no bucket":        {outcome(codes.NotFound, "NO_SUCH_BUCKET"), nil, typesv1.Reason_REASON_NO_SUCH_BUCKET, typesv1.Reason_REASON_NO_SUCH_BUCKET},
		"malformed":        {outcome(codes.InvalidArgument, "INVALID_ARGUMENT"), nil, typesv1.Reason_REASON_INVALID_ARGUMENT, typesv1.Reason_REASON_INVALID_ARGUMENT},
		"overload of one":  {outcome(codes.ResourceExhausted, "OVERLOADED"), nil, typesv1.Reason_REASON_OVERLOADED, unsure},
		"unknown":          {outcome(codes.Unavailable, "OUTCOME_UNKNOWN"), nil, unsure, unsure},
		"unavailable":      {outcome(codes.Unavailable, "UNAVAILABLE"), nil, unsure, unsure},
		"too few outcomes": {&metadatav1.CommitResponse{}, nil, unsure, unsure},
		"no answer":        {nil, errors.New("connection reset"), unsure, unsure},
		"deadline":         {nil, context.DeadlineExceeded, unsure, unsure},
		"a bug over there": {nil, fault.Bug("oops"), unsure, unsure},
		"breaker":          {nil, fault.New(codes.Unavailable, typesv1.Reason_REASON_BREAKER_OPEN, "open"), typesv1.Reason_REASON_BREAKER_OPEN, unsure},
		"overload":         {nil, fault.New(codes.ResourceExhausted, typesv1.Reason_REASON_OVERLOADED, "busy"), typesv1.Reason_REASON_OVERLOADED, unsure},
	} {
		for _, doubt := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, doubt %v", name, doubt), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c, stop := start(t, &sender{serve: func(ctx context.Context, _ int, _ *metadatav1.CommitRequest) (*metadatav1.CommitResponse, error) {
						if doubt {
							raiseDoubt(ctx)
						}
						return tc.resp, tc.err
					}})
					defer stop()
					want := tc.sure
					if doubt {
						want = tc.afterward
					}
					if _, err := c.Commit(t.Context(), mutation("k")); fault.Reason(err) != want || (err == nil) != (want == 0) {
						t.Fatalf("%v, want %v", err, want)
					}
				})
			})
		}
	}
}

// Each mutation has its own fate, and a bucket whose deletion is being decided is waited for.
func TestFatesAreSeparate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closing := 3
		c, stop := start(t, &sender{serve: func(_ context.Context, _ int, req *metadatav1.CommitRequest) (*metadatav1.CommitResponse, error) {
			resp := applied(req)
			for i, m := range req.GetMutations() {
				o := resp.GetOutcomes()[i]
				switch {
				case m.GetKey() == "refused":
					o.Code, o.Reason = int32(codes.FailedPrecondition), "PRECONDITION_FAILED"
				case m.GetKey() == "closing" && closing > 0:
					closing--
					o.Code, o.Reason = int32(codes.Aborted), "BUCKET_CLOSING"
				case m.GetKey() == "stuck":
					o.Code, o.Reason = int32(codes.Aborted), "BUCKET_CLOSING"
				}
			}
			return resp, nil
		}})
		defer stop()
		var callers sync.WaitGroup
		for key, want := range map[string]typesv1.Reason{
			"applied": 0, "refused": typesv1.Reason_REASON_PRECONDITION_FAILED, "closing": 0,
			"stuck": typesv1.Reason_REASON_BUCKET_CLOSING,
		} {
			callers.Go(func() {
				if _, err := c.Commit(t.Context(), mutation(key)); fault.Reason(err) != want {
					t.Errorf("%s: %v, want %v", key, err, want)
				}
			})
		}
		callers.Wait()
	})
}

// A caller that leaves before its mutation was sent knows that nothing happened; after that it does not.
func TestCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := &sender{serve: func(_ context.Context, _ int, req *metadatav1.CommitRequest) (*metadatav1.CommitResponse, error) {
			<-release
			return applied(req), nil
		}}
		c, stop := start(t, s)
		defer stop()
		ctx, cancel := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		for _, tc := range []struct {
			key  string
			want typesv1.Reason
		}{{"sent", typesv1.Reason_REASON_OUTCOME_UNKNOWN}, {"waits", typesv1.Reason_REASON_UNSPECIFIED}} {
			callers.Go(func() {
				_, err := c.Commit(ctx, mutation(tc.key))
				if !errors.Is(err, context.Canceled) || fault.Reason(err) != tc.want {
					t.Errorf("%s: %v", tc.key, err)
				}
			})
			synctest.Wait()
		}
		cancel()
		callers.Wait()
		close(release)
		synctest.Wait()
		if len(s.batches) != 1 || s.batches[0] != 1 {
			t.Fatalf("batches of %v: who left was sent all the same", s.batches)
		}
	})
}

func TestStoppingRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, stop := start(t, &sender{})
		stop()
		if _, err := c.Commit(t.Context(), mutation("k")); !fault.Is(err, typesv1.Reason_REASON_SHUTTING_DOWN) {
			t.Fatal(err)
		}
	})
}

// `since` is a revision that was seen before the first try.
func TestSinceFollowsWhatWasSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sender{serve: func(_ context.Context, _ int, req *metadatav1.CommitRequest) (*metadatav1.CommitResponse, error) {
			return applied(req), nil
		}}
		c, stop := start(t, s)
		defer stop()
		for range 2 {
			if _, err := c.Commit(t.Context(), mutation("k")); err != nil {
				t.Fatal(err)
			}
		}
		c.learn(3) // An older answer takes nothing back.
		if _, err := c.Commit(t.Context(), mutation("k")); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(s.since); got != "[0 7 7]" {
			t.Fatal(got)
		}
	})
}
