package rpc_test

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/rpc"
)

func inProcess(t *testing.T, o rpc.ServerOptions, svc *service) (testpb.TestServiceClient, *rpc.Server) {
	t.Helper()
	s := rpc.NewServer(o)
	testpb.RegisterTestServiceServer(s, svc)
	return testpb.NewTestServiceClient(s.InProcess()), s
}

func sameArray(a, b []byte) bool {
	return len(a) == len(b) && unsafe.SliceData(a) == unsafe.SliceData(b)
}

// Constraint 2: the receiver has its own message with the sender's bytes.
func TestMessagesAlias(t *testing.T) {
	body := []byte("body")
	var got *testpb.SimpleRequest
	c, _ := inProcess(t, rpc.ServerOptions{}, &service{unary: func(_ context.Context, req *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
		got = req
		return &testpb.SimpleResponse{Payload: req.GetPayload()}, nil
	}})
	req := &testpb.SimpleRequest{Payload: payload(body)}
	resp, err := c.UnaryCall(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if got == req {
		t.Error("the handler got the caller's own message")
	}
	if !sameArray(got.GetPayload().GetBody(), body) || !sameArray(resp.GetPayload().GetBody(), body) {
		t.Error("bytes were copied")
	}
}

// The buffer goes to the handler, and no further.
func TestLentBufferGoesOneHop(t *testing.T) {
	buffer := make([]byte, 8)
	second, _ := inProcess(t, rpc.ServerOptions{}, &service{unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
		return &testpb.SimpleResponse{Payload: payload(rpc.Buffer(ctx))}, nil
	}})
	first, _ := inProcess(t, rpc.ServerOptions{}, &service{unary: func(ctx context.Context, req *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
		if !sameArray(rpc.Buffer(ctx), buffer) {
			t.Error("the buffer did not arrive")
		}
		return second.UnaryCall(ctx, req)
	}})
	resp, err := first.UnaryCall(rpc.WithBuffer(t.Context(), buffer), &testpb.SimpleRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if resp.GetPayload().GetBody() != nil {
		t.Error("the buffer went on to the next handler")
	}
	if rpc.Buffer(t.Context()) != nil {
		t.Error("a buffer from nowhere")
	}
}

type uploadStream = grpc.ClientStreamingServer[testpb.StreamingInputCallRequest, testpb.StreamingInputCallResponse]

// Constraint 5: a refusal comes before the sender goes on.
func TestFirstSendWaitsForAcceptance(t *testing.T) {
	refusal := fault.New(codes.PermissionDenied, typesv1.Reason_REASON_ACCESS_DENIED, "no")
	for _, tt := range []struct {
		name   string
		decide func(uploadStream) error
		want   error
	}{
		{"refused", func(uploadStream) error { return refusal }, io.EOF},
		{"accepted by asking for more", func(st uploadStream) error {
			_, err := st.Recv()
			return err
		}, nil},
		{"accepted by a header", func(st uploadStream) error {
			if err := st.SendHeader(nil); err != nil {
				return err
			}
			<-st.Context().Done()
			return st.Context().Err()
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				ctx, wait := rpc.TrackHandlers(ctx)
				defer wait()
				defer cancel()
				thought := false
				c, _ := inProcess(t, rpc.ServerOptions{}, &service{upload: func(st uploadStream) error {
					if _, err := st.Recv(); err != nil {
						return err
					}
					time.Sleep(time.Second)
					thought = true
					return tt.decide(st)
				}})
				up, err := c.StreamingInputCall(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if thought {
					t.Error("NewStream blocked")
				}
				if err := up.Send(&testpb.StreamingInputCallRequest{}); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
					t.Errorf("send: %v, want %v", err, tt.want)
				}
				if !thought {
					t.Error("Send did not wait for the decision")
				}
			})
		})
	}
}

// Constraint 4: two alternating buffers are enough, and the sender may change its message as soon as Send returned.
func TestTwoBuffersSuffice(t *testing.T) {
	const messages = 500
	c, _ := inProcess(t, rpc.ServerOptions{}, &service{upload: func(st uploadStream) error {
		for i := 0; ; i++ {
			req, err := st.Recv()
			if errors.Is(err, io.EOF) {
				return st.SendAndClose(&testpb.StreamingInputCallResponse{AggregatedPayloadSize: int32(i)})
			}
			if err != nil {
				return err
			}
			for _, b := range req.GetPayload().GetBody() {
				if b != byte(i) {
					return fault.Bug("message %d holds %d", i, b)
				}
			}
		}
	}})
	up, err := c.StreamingInputCall(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	buffers := [2][]byte{make([]byte, 512), make([]byte, 512)}
	req := &testpb.StreamingInputCallRequest{}
	for i := range messages {
		buffer := buffers[i%2]
		for j := range buffer {
			buffer[j] = byte(i)
		}
		req.Payload = payload(buffer)
		if err := up.Send(req); err != nil {
			break
		}
	}
	resp, err := up.CloseAndRecv()
	if err != nil || resp.GetAggregatedPayloadSize() != messages {
		t.Errorf("%v, %v", resp, err)
	}
}

// A slow receiver holds the sender back: at most one message is under way.
func TestNothingIsBuffered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		c, _ := inProcess(t, rpc.ServerOptions{}, &service{download: func(_ *testpb.StreamingOutputCallRequest, st grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
			for range 3 {
				if err := st.Send(&testpb.StreamingOutputCallResponse{}); err != nil {
					return err
				}
				sent++
			}
			return nil
		}})
		down, err := c.StreamingOutputCall(t.Context(), &testpb.StreamingOutputCallRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			synctest.Wait()
			if sent != i {
				t.Errorf("%d messages sent, %d received", sent, i)
			}
			if _, err := down.Recv(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := down.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("end: %v", err)
		}
	})
}

// Constraint 6.
func TestHeaderReportsAnEarlyError(t *testing.T) {
	c, _ := inProcess(t, rpc.ServerOptions{}, &service{download: func(_ *testpb.StreamingOutputCallRequest, _ grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
		return fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_KEY, "no")
	}})
	down, err := c.StreamingOutputCall(t.Context(), &testpb.StreamingOutputCallRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := down.Header(); !fault.Is(err, typesv1.Reason_REASON_NO_SUCH_KEY) {
		t.Errorf("header: %v", err)
	}
	if _, err := down.Recv(); !fault.Is(err, typesv1.Reason_REASON_NO_SUCH_KEY) {
		t.Errorf("receive: %v", err)
	}
}

// Constraint 7: the caller learns of its own cancellation at once, wait returns when the handler is out.
func TestTrackHandlersWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out atomic.Bool
		c, _ := inProcess(t, rpc.ServerOptions{}, &service{download: func(_ *testpb.StreamingOutputCallRequest, st grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
			<-st.Context().Done()
			time.Sleep(time.Second) // still busy with the caller's buffers
			out.Store(true)
			return st.Context().Err()
		}})
		ctx, cancel := context.WithCancel(t.Context())
		ctx, wait := rpc.TrackHandlers(ctx)
		down, err := c.StreamingOutputCall(ctx, &testpb.StreamingOutputCallRequest{})
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if _, err := down.Recv(); fault.Code(err) != codes.Canceled || out.Load() {
			t.Errorf("receive: %v, handler out: %v", err, out.Load())
		}
		wait()
		if !out.Load() {
			t.Error("wait returned before the handler did")
		}
	})
}

func TestServeStops(t *testing.T) {
	for _, tt := range []struct {
		name string
		// download is a handler that runs when the server is told to stop.
		download func(grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error
		want     codes.Code
		took     time.Duration
	}{
		{"waits for a running call", func(grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
			time.Sleep(time.Second)
			return nil
		}, codes.OK, time.Second},
		{"tells long ones", func(st grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
			<-rpc.Draining(st.Context())
			return fault.New(codes.Unavailable, typesv1.Reason_REASON_SHUTTING_DOWN, "bye")
		}, codes.Unavailable, 0},
		{"cancels after the grace", func(st grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
			<-st.Context().Done()
			return st.Context().Err()
		}, codes.Unavailable, 5 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, s := inProcess(t, rpc.ServerOptions{Grace: 5 * time.Second}, &service{
					download: func(_ *testpb.StreamingOutputCallRequest, st grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
						return tt.download(st)
					},
					unary: func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
						return &testpb.SimpleResponse{}, nil
					},
				})
				ctx, stop := context.WithCancel(t.Context())
				served := make(chan error, 1)
				go func() { served <- s.Serve(ctx) }()
				down, err := c.StreamingOutputCall(t.Context(), &testpb.StreamingOutputCallRequest{})
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				begin := time.Now()
				stop()
				synctest.Wait()
				if _, err := c.UnaryCall(t.Context(), &testpb.SimpleRequest{}); !fault.Is(err, typesv1.Reason_REASON_SHUTTING_DOWN) {
					t.Errorf("a call to a stopping server: %v", err)
				}
				_, err = down.Recv()
				if errors.Is(err, io.EOF) {
					err = nil
				}
				if fault.Code(err) != tt.want {
					t.Errorf("the running call: %v, want %v", err, tt.want)
				}
				if err := <-served; err != nil {
					t.Errorf("serve: %v", err)
				}
				if took := time.Since(begin); took != tt.took {
					t.Errorf("stopping took %v, want %v", took, tt.took)
				}
			})
		})
	}
}
