package names

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	"github.com/drystone-store/drystone/services/kit/rpc"
)

// pod is a replica of the metadata service at an address of its own.
type pod struct {
	metadatav1.UnimplementedMetadataServiceServer
	hangs  atomic.Bool
	served atomic.Int64
	stop   func() // in good order
	kill   func() // its connections break
}

func (p *pod) GetBucket(ctx context.Context, _ *metadatav1.GetBucketRequest) (*metadatav1.GetBucketResponse, error) {
	if p.hangs.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	p.served.Add(1)
	return &metadatav1.GetBucketResponse{}, nil
}

// listener lets a test cut what it accepted.
type listener struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.mu.Lock()
		l.conns = append(l.conns, c)
		l.mu.Unlock()
	}
	return c, err
}

func (l *listener) cut() {
	_ = l.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		_ = c.Close()
	}
}

func startPod(t *testing.T, address string) *pod {
	t.Helper()
	p := &pod{}
	s := rpc.NewServer(rpc.ServerOptions{Grace: time.Second})
	metadatav1.RegisterMetadataServiceServer(s, p)
	inner, err := rpc.Listen(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	l := &listener{Listener: inner}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	p.stop = sync.OnceFunc(func() {
		cancel()
		<-ended // an error says only that the listener was cut
	})
	p.kill = func() {
		l.cut()
		p.stop()
	}
	t.Cleanup(p.stop)
	return p
}

// outage is what callers met while something happened.
type outage struct {
	calls, failed int
	longest       time.Duration
}

// under calls r from some goroutines, lets something happen, and calls on for a while.
func under(t *testing.T, r *Replicas, happen func(), goOn time.Duration) outage {
	t.Helper()
	const callers = 8
	ctx, stop := context.WithCancel(t.Context())
	var calling sync.WaitGroup
	var mu sync.Mutex
	var met outage
	for range callers {
		calling.Go(func() {
			for ctx.Err() == nil {
				call, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
				begin := time.Now()
				_, err := r.Client().GetBucket(call, &metadatav1.GetBucketRequest{Name: "b"})
				took := time.Since(begin)
				cancel()
				mu.Lock()
				met.calls++
				met.longest = max(met.longest, took)
				if err != nil {
					met.failed++
					t.Log(err)
				}
				mu.Unlock()
				sleep(ctx, time.Millisecond)
			}
		})
	}
	<-time.After(200 * time.Millisecond)
	happen()
	<-time.After(goOn)
	stop()
	calling.Wait()
	t.Logf("%d calls, %d failed, the longest took %v", met.calls, met.failed, met.longest)
	return met
}

// One name stands for all replicas, as a headless service's does: no call fails as long as one of them lives.
func TestOneNameForAllReplicas(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	for _, tt := range []struct {
		name    string
		happen  func(asked *pod)
		gone    bool // from the name, at once
		longest time.Duration
	}{
		{"one stops in good order", func(p *pod) { go p.stop() }, true, time.Second},
		{"one stops, and the name is late", func(p *pod) { go p.stop() }, false, time.Second},
		{"one is killed", func(p *pod) { p.kill() }, false, time.Second},
		{"one hangs", func(p *pod) { p.hangs.Store(true) }, false, attemptTimeout + time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pods := []*pod{startPod(t, "127.0.0.1:"+port), startPod(t, "127.0.0.2:"+port)}
			var addresses atomic.Pointer[[]string]
			addresses.Store(&[]string{"127.0.0.1", "127.0.0.2"})
			dialer := rpc.NewDialer(rpc.DialerOptions{Lookup: func(context.Context, string) ([]string, error) { return *addresses.Load(), nil }})
			r, err := Dial(dialer, []string{"dns:///metadata.svc:" + port})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			met := under(t, r, func() {
				i := 0
				if pods[1].served.Load() > pods[0].served.Load() {
					i = 1
				}
				if tt.gone {
					addresses.Store(&[]string{[]string{"127.0.0.2", "127.0.0.1"}[i]})
				}
				tt.happen(pods[i])
			}, 2*time.Second)
			if met.failed > 0 || met.longest > tt.longest {
				t.Errorf("%d calls failed, the longest took %v, want at most %v", met.failed, met.longest, tt.longest)
			}
		})
	}
}
