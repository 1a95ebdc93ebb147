package rpc_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/rpc"
)

func TestServeReportsItsFailure(t *testing.T) {
	l, err := rpc.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := rpc.NewServer(rpc.ServerOptions{Name: "s"}).Serve(t.Context(), l); err == nil {
		t.Error("a closed listener was served")
	}
}

func TestListen(t *testing.T) {
	folder := t.TempDir()
	socket, file := filepath.Join(folder, "s"), filepath.Join(folder, "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false) // as after a kill
	if err := left.Close(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, address string
		ok            bool
	}{
		{"tcp", "127.0.0.1:0", true},
		{"a socket that was left behind", "unix:" + socket, true},
		{"a new socket", "unix:" + socket + "2", true},
		{"another file in its place", "unix:" + file, false},
		{"no folder", "unix:" + file + "/s", false},
		{"no port", "127.0.0.1", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := rpc.Listen(t.Context(), tt.address)
			if (err == nil) != tt.ok {
				t.Errorf("got %v", err)
			}
			if err == nil {
				_ = l.Close()
			}
		})
	}
}

// Every server has health and reflection, on both transports.
func TestHealthAndReflection(t *testing.T) {
	for _, w := range worlds() {
		t.Run(w.name, func(t *testing.T) {
			s := rpc.NewServer(rpc.ServerOptions{})
			c := w.connect(t, s)
			for _, want := range []healthv1.HealthCheckResponse_ServingStatus{healthv1.HealthCheckResponse_SERVING, healthv1.HealthCheckResponse_NOT_SERVING} {
				s.SetServing(want == healthv1.HealthCheckResponse_SERVING)
				resp, err := healthv1.NewHealthClient(c).Check(t.Context(), &healthv1.HealthCheckRequest{})
				if err != nil || resp.GetStatus() != want {
					t.Errorf("health: %v, %v, want %v", resp, err, want)
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			ctx, wait := rpc.TrackHandlers(ctx)
			defer wait()
			defer cancel()
			st, err := reflectionv1.NewServerReflectionClient(c).ServerReflectionInfo(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if err := st.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}); err != nil {
				t.Fatal(err)
			}
			resp, err := st.Recv()
			if err != nil || len(resp.GetListServicesResponse().GetService()) < 2 {
				t.Errorf("reflection: %v, %v", resp, err)
			}
			if err := st.CloseSend(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A peer that is back is used again within about a second: neither gRPC's backoff nor the breaker may prolong an outage.
func TestRestartedPeerIsBackSoon(t *testing.T) {
	address := "unix:" + filepath.Join(t.TempDir(), "s")
	start := func() (stop func()) {
		l, err := rpc.Listen(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		s := rpc.NewServer(rpc.ServerOptions{Grace: time.Millisecond})
		testpb.RegisterTestServiceServer(s, &service{unary: func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
			return &testpb.SimpleResponse{}, nil
		}})
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- s.Serve(ctx, l) }()
		return func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("serve: %v", err)
			}
		}
	}
	stop := start()
	c := testpb.NewTestServiceClient(dial(t, rpc.DialerOptions{}, address, rpc.ConnOptions{}))
	if err := ping(t, c); err != nil {
		t.Fatal(err)
	}
	stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 150 { // 1.5 s: backoff and breaker have reached their worst
		<-tick.C
		if err := ping(t, c); fault.Code(err) != codes.Unavailable {
			t.Fatalf("down: %v", err)
		}
	}
	stop = start()
	defer stop()
	begin := time.Now()
	for ping(t, c) != nil {
		<-tick.C
		if time.Since(begin) > patience {
			t.Fatal("the peer is never found again")
		}
	}
	// Breaker and backoff wait a second each at most, the latter with 20 % jitter; they may add up. gRPC's default alone
	// takes 6 s and more.
	if took, most := time.Since(begin), 5*time.Second; took > most {
		t.Errorf("it took %v, want at most %v", took, most)
	}
}

// A handler that hangs in a call that nothing ends must not keep the process.
func TestServeGivesHungHandlersUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const grace = 2 * time.Second
		hang := make(chan struct{})
		s := rpc.NewServer(rpc.ServerOptions{Grace: grace, Unary: []grpc.UnaryServerInterceptor{
			func(context.Context, any, *grpc.UnaryServerInfo, grpc.UnaryHandler) (any, error) {
				<-hang
				return &healthv1.HealthCheckResponse{}, nil
			},
		}})
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- s.Serve(ctx) }()
		var calling sync.WaitGroup
		calling.Go(func() {
			_, _ = healthv1.NewHealthClient(s.InProcess()).Check(t.Context(), &healthv1.HealthCheckRequest{})
		})
		synctest.Wait()
		begin := time.Now()
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took < grace || took > grace+10*time.Second {
			t.Errorf("it took %v", took)
		}
		close(hang)
		calling.Wait()
	})
}

// A server that stops says so first, then refuses calls in process, except for those who hold it.
func TestStopInSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const notice, held = 3 * time.Second, 2 * time.Second
		s := rpc.NewServer(rpc.ServerOptions{Name: "s", Notice: notice})
		registry := rpc.NewRegistry()
		registry.Register("s", s)
		call := func() error {
			_, err := healthv1.NewHealthClient(s.InProcess()).Check(t.Context(), &healthv1.HealthCheckRequest{})
			return err
		}
		release := s.Hold()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		begin := time.Now()
		go func() { ended <- s.Serve(ctx) }()
		synctest.Wait()
		stop()
		synctest.Wait()
		if err := call(); err != nil || registry.Ready() == nil {
			t.Errorf("in its notice: %v, ready: %v", err, registry.Ready())
		}
		time.Sleep(notice + held)
		if err := call(); err != nil {
			t.Errorf("while it is held: %v", err)
		}
		release()
		release() // nothing happens
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took != notice+held {
			t.Errorf("it took %v", took)
		}
		if err := call(); !fault.Is(err, typesv1.Reason_REASON_SHUTTING_DOWN) {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// Who holds a server for ever does not keep the process.
func TestHoldIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := rpc.NewServer(rpc.ServerOptions{Grace: time.Second})
		s.Hold()
		ctx, stop := context.WithCancel(t.Context())
		stop()
		begin := time.Now()
		if err := s.Serve(ctx); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
