package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/rpc"
)

func TestCancelReachesTheHandler(t *testing.T) {
	ended := make(chan error, 1)
	svc := &service{
		upload: func(st grpc.ClientStreamingServer[testpb.StreamingInputCallRequest, testpb.StreamingInputCallResponse]) error {
			for {
				if _, err := st.Recv(); err != nil {
					ended <- err
					return err
				}
			}
		},
	}
	everywhere(t, rpc.ServerOptions{}, svc, func(t *testing.T, _ world, c testpb.TestServiceClient) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		up, err := c.StreamingInputCall(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := up.Send(&testpb.StreamingInputCallRequest{}); err != nil {
			t.Fatal(err)
		}
		cancel()
		select {
		case err := <-ended:
			if fault.Code(err) != codes.Canceled {
				t.Errorf("handler: %v", err)
			}
		case <-time.After(patience):
			t.Fatal("the handler did not see the cancellation")
		}
		if _, err := up.CloseAndRecv(); fault.Code(err) != codes.Canceled {
			t.Errorf("client: %v", err)
		}
	})
}

func TestStreamsKeepOrderAndBytes(t *testing.T) {
	const messages = 200
	svc := &service{duplex: func(st grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse]) error {
		for {
			req, err := st.Recv()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := st.Send(&testpb.StreamingOutputCallResponse{Payload: req.GetPayload()}); err != nil {
				return err
			}
		}
	}}
	everywhere(t, rpc.ServerOptions{}, svc, func(t *testing.T, _ world, c testpb.TestServiceClient) {
		st, err := c.FullDuplexCall(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sent := make(chan error, 1)
		go func() {
			for i := range messages {
				if err := st.Send(&testpb.StreamingOutputCallRequest{Payload: payload(bytes.Repeat([]byte{byte(i)}, i*7))}); err != nil {
					sent <- err
					return
				}
			}
			sent <- st.CloseSend()
		}()
		for i := range messages {
			resp, err := st.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if want := payload(bytes.Repeat([]byte{byte(i)}, i*7)); !cmp.Equal(want, resp.GetPayload(), protocmp.Transform()) {
				t.Fatalf("message %d differs", i)
			}
		}
		if _, err := st.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("end: %v", err)
		}
		if err := <-sent; err != nil {
			t.Errorf("send: %v", err)
		}
	})
}

// A client that sends and receives by turns must not wait for a handler that waits for it.
func TestPingPong(t *testing.T) {
	svc := &service{duplex: func(st grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse]) error {
		for {
			req, err := st.Recv()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := st.Send(&testpb.StreamingOutputCallResponse{Payload: req.GetPayload()}); err != nil {
				return err
			}
		}
	}}
	everywhere(t, rpc.ServerOptions{}, svc, func(t *testing.T, _ world, c testpb.TestServiceClient) {
		st, err := c.FullDuplexCall(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			if err := st.Send(&testpb.StreamingOutputCallRequest{Payload: payload([]byte{byte(i)})}); err != nil {
				t.Fatal(err)
			}
			resp, err := st.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if got := resp.GetPayload().GetBody()[0]; got != byte(i) {
				t.Fatalf("answer %d to %d", got, i)
			}
		}
		if err := st.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if _, err := st.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("end: %v", err)
		}
	})
}

// A handler that answers before it read the whole upload: the client is told to stop and gets the answer.
func TestEarlyAnswer(t *testing.T) {
	svc := &service{upload: func(st grpc.ClientStreamingServer[testpb.StreamingInputCallRequest, testpb.StreamingInputCallResponse]) error {
		if _, err := st.Recv(); err != nil {
			return err
		}
		return st.SendAndClose(&testpb.StreamingInputCallResponse{AggregatedPayloadSize: 7})
	}}
	everywhere(t, rpc.ServerOptions{}, svc, func(t *testing.T, _ world, c testpb.TestServiceClient) {
		up, err := c.StreamingInputCall(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			err = up.Send(&testpb.StreamingInputCallRequest{Payload: payload(make([]byte, 1<<16))})
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("send: %v", err)
		}
		resp, err := up.CloseAndRecv()
		if err != nil || resp.GetAggregatedPayloadSize() != 7 {
			t.Errorf("answer %v, error %v", resp, err)
		}
	})
}
