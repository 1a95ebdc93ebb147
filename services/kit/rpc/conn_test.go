package rpc_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/rpc"
)

// mesh is a client of svc through a Conn in process.
func mesh(t *testing.T, svc *service, o rpc.ConnOptions) testpb.TestServiceClient {
	t.Helper()
	s := rpc.NewServer(rpc.ServerOptions{})
	testpb.RegisterTestServiceServer(s, svc)
	registry := rpc.NewRegistry()
	registry.Register("test", s)
	return testpb.NewTestServiceClient(dial(t, rpc.DialerOptions{Registry: registry}, "inproc:test", o))
}

func ping(t *testing.T, c testpb.TestServiceClient) error {
	t.Helper()
	_, err := c.UnaryCall(t.Context(), &testpb.SimpleRequest{})
	return err
}

func unavailable() error {
	return fault.New(codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE, "down")
}

// A dead peer costs five calls, then one each second, until it is back.
func TestBreakerOpensProbesAndCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var handled int
		answer := unavailable()
		c := mesh(t, &service{unary: func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
			handled++
			return &testpb.SimpleResponse{}, answer
		}}, rpc.ConnOptions{})

		for range 5 {
			if err := ping(t, c); !fault.Is(err, typesv1.Reason_REASON_UNAVAILABLE) {
				t.Fatalf("closed: %v", err)
			}
		}
		for range 100 {
			err := ping(t, c)
			if _, ok := fault.RetryAfter(err); !fault.Is(err, typesv1.Reason_REASON_BREAKER_OPEN) || fault.Code(err) != codes.Unavailable || !ok {
				t.Fatalf("open: %v", err)
			}
		}
		if handled != 5 {
			t.Errorf("%d calls reached the dead peer, want 5", handled)
		}

		time.Sleep(1100 * time.Millisecond)
		if err := ping(t, c); !fault.Is(err, typesv1.Reason_REASON_UNAVAILABLE) {
			t.Errorf("the probe: %v", err)
		}
		if err := ping(t, c); !fault.Is(err, typesv1.Reason_REASON_BREAKER_OPEN) {
			t.Errorf("after a bad probe: %v", err)
		}

		answer = nil
		time.Sleep(1100 * time.Millisecond)
		for range 10 {
			if err := ping(t, c); err != nil {
				t.Errorf("healed: %v", err)
			}
		}
	})
}

func TestBreakerCountsOnlyThePeersFaults(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		open bool
	}{
		{"not found", fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_KEY, ""), false},
		{"overloaded", fault.New(codes.ResourceExhausted, typesv1.Reason_REASON_OVERLOADED, ""), false},
		{"one disk of the peer", fault.New(codes.Unavailable, typesv1.Reason_REASON_DISK_FAILED, ""), false},
		{"one rotten chunk", fault.New(codes.DataLoss, typesv1.Reason_REASON_CHUNK_CORRUPT, ""), false},
		{"canceled", context.Canceled, false},
		{"a breaker behind the peer", fault.New(codes.Unavailable, typesv1.Reason_REASON_BREAKER_OPEN, ""), false},
		{"internal", errors.New("bug"), true},
		{"unavailable", unavailable(), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				handled := 0
				c := mesh(t, &service{unary: func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
					handled++
					return nil, tt.err
				}}, rpc.ConnOptions{})
				for range 30 {
					_ = ping(t, c)
				}
				if open := handled < 30; open != tt.open {
					t.Errorf("%d of 30 calls passed, want open: %v", handled, tt.open)
				}
			})
		})
	}
}

// Half of the calls failing opens as well, once there are enough of them.
func TestBreakerOpensOnAShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handled := 0
		c := mesh(t, &service{unary: func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
			handled++
			if handled%2 == 0 {
				return nil, unavailable()
			}
			return &testpb.SimpleResponse{}, nil
		}}, rpc.ConnOptions{})
		for range 50 {
			_ = ping(t, c)
			time.Sleep(10 * time.Millisecond)
		}
		if handled != 20 {
			t.Errorf("%d calls passed, want 20", handled)
		}
	})
}

// A caller that comes with no time left says nothing about the peer; one that waited does.
func TestBreakerJudgesDeadlinesFairly(t *testing.T) {
	for _, tt := range []struct {
		name    string
		timeout time.Duration
		open    bool
	}{
		{"too short to judge", 10 * time.Millisecond, false},
		{"long enough", time.Second, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				handled := 0
				c := mesh(t, &service{unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
					handled++
					<-ctx.Done()
					return nil, ctx.Err()
				}}, rpc.ConnOptions{Timeout: tt.timeout})
				for range 10 {
					_ = ping(t, c)
				}
				if open := handled < 10; open != tt.open {
					t.Errorf("%d of 10 calls passed, want open: %v", handled, tt.open)
				}
			})
		})
	}
}

func TestClassesHaveTheirOwnBreakers(t *testing.T) {
	svc := &service{
		unary: func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
			return nil, unavailable()
		},
		upload: func(st uploadStream) error {
			return st.SendAndClose(&testpb.StreamingInputCallResponse{})
		},
	}
	upload := func(t *testing.T, c testpb.TestServiceClient) error {
		st, err := c.StreamingInputCall(t.Context())
		if err != nil {
			return err
		}
		_, err = st.CloseAndRecv()
		return err
	}
	synctest.Test(t, func(t *testing.T) {
		byMethod := mesh(t, svc, rpc.ConnOptions{})
		grouped := mesh(t, svc, rpc.ConnOptions{Class: func(string) string { return "all" }})
		for range 6 {
			_, _ = ping(t, byMethod), ping(t, grouped)
		}
		if err := upload(t, byMethod); err != nil {
			t.Errorf("another method's breaker: %v", err)
		}
		if err := upload(t, grouped); !fault.Is(err, typesv1.Reason_REASON_BREAKER_OPEN) {
			t.Errorf("the same class: %v", err)
		}
	})
}

// A stream that is given up must not leave a half-open breaker waiting for its outcome for ever.
func TestAbandonedProbeFreesTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		healthy := false
		c := mesh(t, &service{download: func(_ *testpb.StreamingOutputCallRequest, st grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
			if healthy {
				<-st.Context().Done()
				return st.Context().Err()
			}
			return unavailable()
		}}, rpc.ConnOptions{})
		for range 5 {
			down, err := c.StreamingOutputCall(t.Context(), &testpb.StreamingOutputCallRequest{})
			if err != nil {
				t.Fatal(err)
			}
			_, _ = down.Recv()
		}
		if _, err := c.StreamingOutputCall(t.Context(), &testpb.StreamingOutputCallRequest{}); !fault.Is(err, typesv1.Reason_REASON_BREAKER_OPEN) {
			t.Fatalf("open: %v", err)
		}
		healthy = true
		time.Sleep(1100 * time.Millisecond)
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := c.StreamingOutputCall(ctx, &testpb.StreamingOutputCallRequest{}); err != nil {
			t.Fatalf("probe: %v", err)
		}
		cancel() // and nobody receives
		synctest.Wait()
		ctx, cancel = context.WithCancel(t.Context())
		defer cancel()
		if _, err := c.StreamingOutputCall(ctx, &testpb.StreamingOutputCallRequest{}); err != nil {
			t.Errorf("next probe: %v", err)
		}
		cancel()
		synctest.Wait()
	})
}

func TestDeadlines(t *testing.T) {
	for _, tt := range []struct {
		name   string
		caller time.Duration // 0: none
		conn   time.Duration
		want   time.Duration
	}{
		{"the conn's when the caller has none", 0, 3 * time.Second, 3 * time.Second},
		{"the default", 0, 0, 10 * time.Second},
		{"the caller's when shorter", time.Second, 3 * time.Second, time.Second},
		{"the caller's when longer", time.Minute, 3 * time.Second, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got time.Duration
				c := mesh(t, &service{unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
					deadline, _ := ctx.Deadline()
					got = time.Until(deadline)
					return &testpb.SimpleResponse{}, nil
				}}, rpc.ConnOptions{Timeout: tt.conn})
				ctx := t.Context()
				if tt.caller > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.caller)
					defer cancel()
				}
				if _, err := c.UnaryCall(ctx, &testpb.SimpleRequest{}); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("time to answer (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// Calls above the bound wait, calls above the queue are refused, and neither reaches the peer.
func TestBoundedConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		running, most := 0, 0
		release := make(chan struct{})
		c := mesh(t, &service{unary: func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
			running++
			most = max(most, running)
			<-release
			running--
			return &testpb.SimpleResponse{}, nil
		}}, rpc.ConnOptions{MaxInFlight: 1})
		results := make(chan error, 10)
		for range 10 {
			go func() { results <- ping(t, c) }()
		}
		synctest.Wait()
		close(release)
		refused := 0
		for range 10 {
			if err := <-results; fault.Is(err, typesv1.Reason_REASON_OVERLOADED) {
				refused++
			} else if err != nil {
				t.Errorf("call: %v", err)
			}
		}
		if most != 1 || refused != 5 {
			t.Errorf("%d ran at a time, %d were refused; want 1 and 5 (one runs, four wait)", most, refused)
		}
	})
}

func TestRetry(t *testing.T) {
	notFound := fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_KEY, "")
	unknown := fault.New(codes.Unavailable, typesv1.Reason_REASON_OUTCOME_UNKNOWN, "")
	for _, tt := range []struct {
		name    string
		retry   bool
		answers []error
		want    codes.Code
		tries   int
	}{
		{"off", false, []error{unavailable(), nil}, codes.Unavailable, 1},
		{"second try works", true, []error{unavailable(), nil}, codes.OK, 2},
		{"three tries at most", true, []error{unavailable(), unavailable(), unavailable(), nil}, codes.Unavailable, 3},
		{"only unavailable", true, []error{notFound, nil}, codes.NotFound, 1},
		{"not an unknown outcome", true, []error{unknown, nil}, codes.Unavailable, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				c := mesh(t, &service{unary: func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
					tries++
					return &testpb.SimpleResponse{}, tt.answers[tries-1]
				}}, rpc.ConnOptions{Retry: tt.retry})
				if err := ping(t, c); fault.Code(err) != tt.want || tries != tt.tries {
					t.Errorf("%v after %d tries, want %v after %d", err, tries, tt.want, tt.tries)
				}
			})
		})
	}
}

// However long an outage is, retries stay a small share of the calls.
func TestRetryBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls = 1000
		tries := 0
		c := mesh(t, &service{unary: func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
			tries++
			if tries%3 == 0 { // keeps the breaker closed
				return nil, unavailable()
			}
			return &testpb.SimpleResponse{}, nil
		}}, rpc.ConnOptions{Retry: true})
		for range calls {
			_ = ping(t, c)
		}
		if limit := calls + calls/10 + 10; tries > limit {
			t.Errorf("%d tries of %d calls, want at most %d", tries, calls, limit)
		}
	})
}

func TestDialErrors(t *testing.T) {
	if _, err := rpc.NewDialer(rpc.DialerOptions{}).Dial("no\x00scheme://x", rpc.ConnOptions{}); err == nil {
		t.Error("a target that does not parse was accepted")
	}
}

// A service that starts after its callers, or again, is found.
func TestRegistryIsAskedAtEachCall(t *testing.T) {
	registry := rpc.NewRegistry()
	c := testpb.NewTestServiceClient(dial(t, rpc.DialerOptions{Registry: registry}, "inproc:test", rpc.ConnOptions{}))
	if err := ping(t, c); !fault.Is(err, typesv1.Reason_REASON_UNAVAILABLE) {
		t.Errorf("nobody there: %v", err)
	}
	for _, name := range []string{"first", "second"} {
		s := rpc.NewServer(rpc.ServerOptions{})
		testpb.RegisterTestServiceServer(s, &service{unary: func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
			return &testpb.SimpleResponse{Username: name}, nil
		}})
		registry.Register("test", s)
		resp, err := c.UnaryCall(t.Context(), &testpb.SimpleRequest{})
		if err != nil || resp.GetUsername() != name {
			t.Errorf("%s: %v, %v", name, resp, err)
		}
		if name == "second" {
			registry.Remove("test", s)
		}
	}
	if err := ping(t, c); !fault.Is(err, typesv1.Reason_REASON_UNAVAILABLE) {
		t.Errorf("gone: %v", err)
	}
}

// A peer that is not there fails at once, with the peer's name and without its address.
func TestUnreachablePeer(t *testing.T) {
	c := testpb.NewTestServiceClient(dial(t, rpc.DialerOptions{}, "127.0.0.1:1", rpc.ConnOptions{Peer: "node-7"}))
	err := ping(t, c)
	f := fault.From(err)
	if f.Code() != codes.Unavailable || f.Reason() != typesv1.Reason_REASON_UNAVAILABLE || f.Message() != "node-7 cannot be reached" {
		t.Errorf("got %v %v %q", f.Code(), f.Reason(), f.Message())
	}
}
