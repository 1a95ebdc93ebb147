package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/log"
	"github.com/drystone-store/drystone/services/kit/rpc"
)

// patience bounds what must happen soon; nothing waits for it unless a test fails.
const patience = 20 * time.Second

func payload(b []byte) *testpb.Payload { return &testpb.Payload{Body: b} }

// seen is all that a caller can see of an error.
type seen struct {
	Code    codes.Code
	Reason  typesv1.Reason
	Message string
	Retry   time.Duration
	Meta    map[string]string
}

func look(err error) seen {
	f := fault.From(err)
	if f == nil {
		return seen{}
	}
	return seen{Code: f.Code(), Reason: f.Reason(), Message: f.Message(), Retry: f.RetryAfter(), Meta: f.Meta()}
}

func TestErrorsLookTheSameEverywhere(t *testing.T) {
	secret := errors.New("secret cause")
	noSuchKey := fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_KEY, "object %q", "k")
	internal := seen{Code: codes.Internal, Reason: typesv1.Reason_REASON_INTERNAL, Message: "internal error"}
	for _, tt := range []struct {
		name string
		err  error
		want seen
	}{
		{"plain fault", noSuchKey, seen{Code: codes.NotFound, Reason: typesv1.Reason_REASON_NO_SUCH_KEY, Message: `object "k"`}},
		{"text around a fault stays home", fmt.Errorf("read secret row: %w", noSuchKey), seen{Code: codes.NotFound, Reason: typesv1.Reason_REASON_NO_SUCH_KEY, Message: `object "k"`}},
		{
			"cause stays home",
			fault.Wrap(secret, codes.Unavailable, typesv1.Reason_REASON_DISK_FAILED, "disk d1").WithRetryAfter(time.Second).WithMeta("disk", "d1"),
			seen{Code: codes.Unavailable, Reason: typesv1.Reason_REASON_DISK_FAILED, Message: "disk d1", Retry: time.Second, Meta: map[string]string{"disk": "d1"}},
		},
		{"unknown errors are internal", secret, internal},
		{"bugs are internal", fault.Bug("secret invariant"), internal},
		{"context errors", fmt.Errorf("wait: %w", context.DeadlineExceeded), seen{Code: codes.DeadlineExceeded, Reason: typesv1.Reason_REASON_DEADLINE_EXCEEDED, Message: "the deadline passed"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			svc := &service{
				unary: func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) { return nil, tt.err },
				upload: func(grpc.ClientStreamingServer[testpb.StreamingInputCallRequest, testpb.StreamingInputCallResponse]) error {
					return tt.err
				},
				download: func(*testpb.StreamingOutputCallRequest, grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
					return tt.err
				},
			}
			everywhere(t, rpc.ServerOptions{}, svc, func(t *testing.T, _ world, c testpb.TestServiceClient) {
				_, err := c.UnaryCall(t.Context(), &testpb.SimpleRequest{})
				if diff := cmp.Diff(tt.want, look(err)); diff != "" {
					t.Errorf("unary (-want +got):\n%s", diff)
				}
				up, err := c.StreamingInputCall(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				_, err = up.CloseAndRecv()
				if diff := cmp.Diff(tt.want, look(err)); diff != "" {
					t.Errorf("upload (-want +got):\n%s", diff)
				}
				down, err := c.StreamingOutputCall(t.Context(), &testpb.StreamingOutputCallRequest{})
				if err != nil {
					t.Fatal(err)
				}
				_, err = down.Recv()
				if diff := cmp.Diff(tt.want, look(err)); diff != "" {
					t.Errorf("download (-want +got):\n%s", diff)
				}
				if errors.Is(err, secret) {
					t.Error("the cause crossed the wire")
				}
			})
		})
	}
}

func TestPanicsAreInternal(t *testing.T) {
	svc := &service{
		unary: func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) { panic("boom") },
		download: func(*testpb.StreamingOutputCallRequest, grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
			panic("boom")
		},
	}
	everywhere(t, rpc.ServerOptions{}, svc, func(t *testing.T, _ world, c testpb.TestServiceClient) {
		_, err := c.UnaryCall(t.Context(), &testpb.SimpleRequest{})
		if !fault.Is(err, typesv1.Reason_REASON_INTERNAL) {
			t.Errorf("unary: %v", err)
		}
		down, err := c.StreamingOutputCall(t.Context(), &testpb.StreamingOutputCallRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := down.Recv(); !fault.Is(err, typesv1.Reason_REASON_INTERNAL) {
			t.Errorf("stream: %v", err)
		}
	})
}

func TestMetadataPasses(t *testing.T) {
	svc := &service{
		unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
			in, _ := metadata.FromIncomingContext(ctx)
			if out, _ := metadata.FromOutgoingContext(ctx); len(out["question"]) > 0 {
				return nil, fault.Bug("the caller's outgoing metadata leaked")
			}
			if p, ok := peer.FromContext(ctx); !ok || p.Addr == nil {
				return nil, fault.Bug("no peer")
			}
			_ = grpc.SetHeader(ctx, metadata.Pairs("answer", in.Get("question")[0]+"!"))
			_ = grpc.SetTrailer(ctx, metadata.Pairs("after", "all"))
			return &testpb.SimpleResponse{}, nil
		},
		upload: func(st grpc.ClientStreamingServer[testpb.StreamingInputCallRequest, testpb.StreamingInputCallResponse]) error {
			in, _ := metadata.FromIncomingContext(st.Context())
			if err := st.SetHeader(metadata.Pairs("answer", in.Get("question")[0]+"!")); err != nil {
				return err
			}
			st.SetTrailer(metadata.Pairs("after", "all"))
			if err := st.SendAndClose(&testpb.StreamingInputCallResponse{}); err != nil {
				return err
			}
			if st.SetHeader(metadata.Pairs("late", "1")) == nil {
				return fault.Bug("a header was set after it was sent")
			}
			return nil
		},
	}
	everywhere(t, rpc.ServerOptions{}, svc, func(t *testing.T, _ world, c testpb.TestServiceClient) {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "question", "why", "raw-bin", "\x00\xff")
		check := func(t *testing.T, header, trailer metadata.MD) {
			t.Helper()
			if diff := cmp.Diff([]string{"why!"}, header.Get("answer")); diff != "" {
				t.Errorf("header (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"all"}, trailer.Get("after")); diff != "" {
				t.Errorf("trailer (-want +got):\n%s", diff)
			}
		}
		var header, trailer metadata.MD
		if _, err := c.UnaryCall(ctx, &testpb.SimpleRequest{}, grpc.Header(&header), grpc.Trailer(&trailer)); err != nil {
			t.Fatal(err)
		}
		check(t, header, trailer)

		header, trailer = nil, nil
		up, err := c.StreamingInputCall(ctx, grpc.Header(&header), grpc.Trailer(&trailer))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := up.CloseAndRecv(); err != nil {
			t.Fatal(err)
		}
		check(t, header, trailer)
		got, err := up.Header()
		if err != nil {
			t.Fatal(err)
		}
		check(t, got, up.Trailer())
	})
}

func TestCorrelationPasses(t *testing.T) {
	svc := &service{unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
		return &testpb.SimpleResponse{Username: log.Correlation(ctx)}, nil
	}}
	everywhere(t, rpc.ServerOptions{}, svc, func(t *testing.T, _ world, c testpb.TestServiceClient) {
		resp, err := c.UnaryCall(t.Context(), &testpb.SimpleRequest{})
		if err != nil || resp.GetUsername() == "" {
			t.Errorf("minted id %q, error %v", resp.GetUsername(), err)
		}
		ctx := metadata.AppendToOutgoingContext(t.Context(), "drystone-correlation-id", "from-metadata")
		if resp, err = c.UnaryCall(ctx, &testpb.SimpleRequest{}); err != nil || resp.GetUsername() != "from-metadata" {
			t.Errorf("id %q of the metadata, error %v", resp.GetUsername(), err)
		}
		foreign := strings.Repeat("x", 65)
		ctx = metadata.AppendToOutgoingContext(t.Context(), "drystone-correlation-id", foreign)
		if resp, err = c.UnaryCall(ctx, &testpb.SimpleRequest{}); err != nil || resp.GetUsername() == foreign {
			t.Errorf("an endless id was taken over, error %v", err)
		}
		ctx = log.WithCorrelation(t.Context(), "from-context")
		if resp, err = c.UnaryCall(ctx, &testpb.SimpleRequest{}); err != nil || resp.GetUsername() != "from-context" {
			t.Errorf("id %q of the context, error %v", resp.GetUsername(), err)
		}
	})
}

func TestDeadlinePasses(t *testing.T) {
	svc := &service{
		unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
			if _, ok := ctx.Deadline(); !ok {
				return nil, fault.Bug("no deadline")
			}
			<-ctx.Done()
			return nil, fmt.Errorf("wait: %w", ctx.Err())
		},
		download: func(_ *testpb.StreamingOutputCallRequest, st grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
			<-st.Context().Done()
			return st.Context().Err()
		},
	}
	everywhere(t, rpc.ServerOptions{}, svc, func(t *testing.T, _ world, c testpb.TestServiceClient) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if _, err := c.UnaryCall(ctx, &testpb.SimpleRequest{}); fault.Code(err) != codes.DeadlineExceeded {
			t.Errorf("unary: %v", err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		down, err := c.StreamingOutputCall(ctx, &testpb.StreamingOutputCallRequest{})
		if err == nil {
			_, err = down.Recv()
		}
		if fault.Code(err) != codes.DeadlineExceeded {
			t.Errorf("stream: %v", err)
		}
	})
}

func TestUnknownMethod(t *testing.T) {
	everywhere(t, rpc.ServerOptions{}, &service{}, func(t *testing.T, _ world, c testpb.TestServiceClient) {
		if _, err := c.UnimplementedCall(t.Context(), &testpb.Empty{}); fault.Code(err) != codes.Unimplemented {
			t.Errorf("got %v", err)
		}
	})
}

func TestServiceInterceptorsRunEverywhere(t *testing.T) {
	o := rpc.ServerOptions{
		Unary: []grpc.UnaryServerInterceptor{
			func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
				return h(metadata.NewIncomingContext(ctx, metadata.Pairs("order", "a")), req)
			},
			func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
				md, _ := metadata.FromIncomingContext(ctx)
				return h(metadata.NewIncomingContext(ctx, metadata.Pairs("order", md.Get("order")[0]+"b")), req)
			},
		},
		Stream: []grpc.StreamServerInterceptor{
			func(any, grpc.ServerStream, *grpc.StreamServerInfo, grpc.StreamHandler) error {
				return fault.New(codes.PermissionDenied, typesv1.Reason_REASON_ACCESS_DENIED, "no streams")
			},
		},
	}
	svc := &service{unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		return &testpb.SimpleResponse{Username: md.Get("order")[0]}, nil
	}}
	everywhere(t, o, svc, func(t *testing.T, _ world, c testpb.TestServiceClient) {
		resp, err := c.UnaryCall(t.Context(), &testpb.SimpleRequest{})
		if err != nil || resp.GetUsername() != "ab" {
			t.Errorf("unary: %v, %v", resp, err)
		}
		up, err := c.StreamingInputCall(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := up.CloseAndRecv(); !fault.Is(err, typesv1.Reason_REASON_ACCESS_DENIED) {
			t.Errorf("stream: %v", err)
		}
	})
}

func TestOverloadIsRefused(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	svc := &service{unary: func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
		entered <- struct{}{}
		<-release
		return &testpb.SimpleResponse{}, nil
	}}
	everywhere(t, rpc.ServerOptions{MaxInFlight: 1}, svc, func(t *testing.T, _ world, c testpb.TestServiceClient) {
		first := make(chan error, 1)
		go func() {
			_, err := c.UnaryCall(t.Context(), &testpb.SimpleRequest{})
			first <- err
		}()
		<-entered
		_, err := c.UnaryCall(t.Context(), &testpb.SimpleRequest{})
		if _, ok := fault.RetryAfter(err); fault.Code(err) != codes.ResourceExhausted || !fault.Is(err, typesv1.Reason_REASON_OVERLOADED) || !ok {
			t.Errorf("second call: %v", err)
		}
		release <- struct{}{}
		if err := <-first; err != nil {
			t.Errorf("first call: %v", err)
		}
	})
}
