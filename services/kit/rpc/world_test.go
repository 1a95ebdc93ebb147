package rpc_test

import (
	"context"
	"net"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/drystone-store/drystone/services/kit/rpc"
)

// service is grpc's own test service with handlers that a test gives.
type service struct {
	testpb.UnimplementedTestServiceServer
	unary    func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error)
	upload   func(grpc.ClientStreamingServer[testpb.StreamingInputCallRequest, testpb.StreamingInputCallResponse]) error
	download func(*testpb.StreamingOutputCallRequest, grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error
	duplex   func(grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse]) error
}

func (s *service) UnaryCall(ctx context.Context, req *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	return s.unary(ctx, req)
}

func (s *service) StreamingInputCall(st grpc.ClientStreamingServer[testpb.StreamingInputCallRequest, testpb.StreamingInputCallResponse]) error {
	return s.upload(st)
}

func (s *service) StreamingOutputCall(req *testpb.StreamingOutputCallRequest, st grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
	return s.download(req, st)
}

func (s *service) FullDuplexCall(st grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse]) error {
	return s.duplex(st)
}

// world is one way to reach a server.
type world struct {
	name string
	// mesh: through a Dialer, so errors have reasons.
	mesh    bool
	connect func(t *testing.T, s *rpc.Server) grpc.ClientConnInterface
}

// worlds are all ways; whatever a test claims must hold in each.
func worlds() []world {
	return []world{
		{name: "in process", connect: func(_ *testing.T, s *rpc.Server) grpc.ClientConnInterface { return s.InProcess() }},
		{name: "mesh in process", mesh: true, connect: func(t *testing.T, s *rpc.Server) grpc.ClientConnInterface {
			registry := rpc.NewRegistry()
			registry.Register("test", s)
			return dial(t, rpc.DialerOptions{Registry: registry, Caller: "tester"}, "inproc:test", rpc.ConnOptions{})
		}},
		{name: "mesh over tcp", mesh: true, connect: func(t *testing.T, s *rpc.Server) grpc.ClientConnInterface {
			return dial(t, rpc.DialerOptions{Caller: "tester"}, serve(t, s, "tcp", "127.0.0.1:0"), rpc.ConnOptions{Peer: "test"})
		}},
		{name: "mesh over unix", mesh: true, connect: func(t *testing.T, s *rpc.Server) grpc.ClientConnInterface {
			address := serve(t, s, "unix", filepath.Join(t.TempDir(), "s"))
			return dial(t, rpc.DialerOptions{Caller: "tester"}, "unix:"+address, rpc.ConnOptions{Peer: "test"})
		}},
	}
}

// everywhere runs a test in each world against a server of its own.
func everywhere(t *testing.T, o rpc.ServerOptions, svc *service, test func(t *testing.T, w world, c testpb.TestServiceClient)) {
	t.Helper()
	for _, w := range worlds() {
		t.Run(w.name, func(t *testing.T) {
			s := rpc.NewServer(o)
			testpb.RegisterTestServiceServer(s, svc)
			test(t, w, testpb.NewTestServiceClient(w.connect(t, s)))
		})
	}
}

// serve runs the server until the test ends and returns its address.
func serve(t testing.TB, s *rpc.Server, network, address string) string {
	t.Helper()
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return listener.Addr().String()
}

func dial(t testing.TB, d rpc.DialerOptions, target string, o rpc.ConnOptions) rpc.Conn {
	t.Helper()
	c, err := rpc.NewDialer(d).Dial(target, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return c
}
