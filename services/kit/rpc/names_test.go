package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/drystone-store/drystone/services/kit/rpc"
)

// zone is a DNS that a test writes.
type zone struct {
	mu      sync.Mutex
	records map[string][]string
}

func (z *zone) set(host string, addresses ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.records == nil {
		z.records = map[string][]string{}
	}
	z.records[host] = addresses
}

func (z *zone) lookup(_ context.Context, host string) ([]string, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if a := z.records[host]; len(a) > 0 {
		return a, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// fleet is some replicas at one port of 127.0.0.1, 127.0.0.2, …, as pods have addresses.
type fleet struct {
	port string
	stop map[string]func()
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return &fleet{port: port, stop: map[string]func(){}}
}

// start runs a replica that answers with its address, until it is stopped or the test ends.
func (f *fleet) start(t *testing.T, address string) {
	t.Helper()
	s := rpc.NewServer(rpc.ServerOptions{Grace: time.Second})
	testpb.RegisterTestServiceServer(s, &service{unary: func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
		return &testpb.SimpleResponse{Hostname: address}, nil
	}})
	l, err := rpc.Listen(t.Context(), net.JoinHostPort(address, f.port))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	f.stop[address] = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(f.stop[address])
}

// until calls until the answer is as wanted, and says how long that took.
func until(t *testing.T, call func() error) time.Duration {
	t.Helper()
	begin := time.Now()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := call()
		if err == nil {
			return time.Since(begin)
		}
		if time.Since(begin) > patience {
			t.Fatal(err)
		}
		<-tick.C
	}
}

// A pod that comes back under another address is found within about two seconds of its name having it.
func TestMovedPeerIsFound(t *testing.T) {
	for _, scheme := range []string{"", "dns:///"} {
		t.Run(scheme+"host:port", func(t *testing.T) {
			var dns zone
			f := newFleet(t)
			dns.set("pod-0.svc", "127.0.0.1")
			f.start(t, "127.0.0.1")
			c := testpb.NewTestServiceClient(dial(t, rpc.DialerOptions{Lookup: dns.lookup}, scheme+"pod-0.svc:"+f.port, rpc.ConnOptions{}))
			if err := ping(t, c); err != nil {
				t.Fatal(err)
			}
			f.stop["127.0.0.1"]()
			dns.set("pod-0.svc") // as for a pod that is not ready
			begin := time.Now()
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for time.Since(begin) < 3*time.Second { // pauses have reached their longest
				if ping(t, c) == nil {
					t.Fatal("somebody answered")
				}
				<-tick.C
			}
			f.start(t, "127.0.0.2")
			dns.set("pod-0.svc", "127.0.0.2")
			took := until(t, func() error { return ping(t, c) })
			t.Logf("calls work %v after the name has the new address", took)
			// A lookup a second, and a probe of the breaker a second.
			if most := 4 * time.Second; took > most {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestMalformedTargets(t *testing.T) {
	d := rpc.NewDialer(rpc.DialerOptions{})
	for _, target := range []string{"dns:///", "dns:///host", "dns:///host:", "host", "::1:7"} {
		if c, err := d.Dial(target, rpc.ConnOptions{}); err == nil {
			t.Errorf("%s: no error", target)
			_ = c.Close()
		}
		if r, err := rpc.DialReplicas(d, []string{"127.0.0.1:1", target}, rpc.ConnOptions{Peer: "p"}); err == nil {
			t.Errorf("%s: no error", target)
			_ = r.Close()
		}
	}
}

// replicas are calls to the preferred one of a name's replicas.
type replicas struct {
	*rpc.Replicas
	t *testing.T
}

func dialFleet(t *testing.T, dns *zone, targets ...string) replicas {
	t.Helper()
	r, err := rpc.DialReplicas(rpc.NewDialer(rpc.DialerOptions{Lookup: dns.lookup}), targets, rpc.ConnOptions{Peer: "pods"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return replicas{r, t}
}

func (r replicas) ask(n uint64) (string, error) {
	var answer testpb.SimpleResponse
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	err := r.Invoke(ctx, n, testpb.TestService_UnaryCall_FullMethodName, &testpb.SimpleRequest{}, &answer)
	return answer.GetHostname(), err
}

// sees says whether exactly these replicas answer.
func (r replicas) sees(addresses ...string) error {
	met := map[string]bool{}
	for n := range uint64(r.Len()) {
		r.Failed(n) // looks the name up again soon
		who, err := r.ask(n)
		if err != nil {
			return err
		}
		met[who] = true
	}
	for _, a := range addresses {
		if !met[a] {
			return fmt.Errorf("%v answer, without %s", met, a)
		}
	}
	if len(met) != len(addresses) {
		return fmt.Errorf("%v answer, want %v", met, addresses)
	}
	return nil
}

func TestReplicasOfAName(t *testing.T) {
	var dns zone
	f := newFleet(t)
	for _, a := range []string{"127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"} {
		f.start(t, a)
	}
	dns.set("pods.svc", "127.0.0.2", "127.0.0.1")
	r := dialFleet(t, &dns, "dns:///pods.svc:"+f.port, "127.0.0.4:"+f.port)
	if _, err := r.ask(0); err != nil { // waits for the first lookup
		t.Fatal(err)
	}
	if err := r.sees("127.0.0.1", "127.0.0.2", "127.0.0.4"); err != nil {
		t.Error(err)
	}
	dns.set("pods.svc", "127.0.0.2", "127.0.0.3")
	took := until(t, func() error { return r.sees("127.0.0.2", "127.0.0.3", "127.0.0.4") })
	t.Logf("a changed name is noticed after %v", took)
	dns.set("pods.svc")
	f.stop["127.0.0.3"]()
	if _, err := r.ask(0); err != nil {
		t.Errorf("a name that does not resolve took away a replica that lives: %v", err)
	}
}

func TestReplicasOfAnUnknownName(t *testing.T) {
	var dns zone
	f := newFleet(t)
	r := dialFleet(t, &dns, "dns:///pods.svc:"+f.port)
	if _, err := r.ask(r.Preferred()); err == nil || r.Len() != 1 {
		t.Errorf("nobody: %v, %d replicas", err, r.Len())
	}
	r.Spread()
	f.start(t, "127.0.0.1")
	f.start(t, "127.0.0.2")
	dns.set("pods.svc", "127.0.0.1", "127.0.0.2")
	took := until(t, func() error { return r.sees("127.0.0.1", "127.0.0.2") })
	t.Logf("a name is found %v after it is there", took)
	if most := 3 * time.Second; took > most {
		t.Errorf("it took %v", took)
	}
}

// A replica that stops in order and is gone from the name answers what it has begun.
func TestRetiredReplicaAnswers(t *testing.T) {
	var dns zone
	f := newFleet(t)
	asked, answer := make(chan struct{}), make(chan struct{})
	s := rpc.NewServer(rpc.ServerOptions{})
	testpb.RegisterTestServiceServer(s, &service{unary: func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
		close(asked)
		<-answer
		return &testpb.SimpleResponse{}, nil
	}})
	serve(t, s, "tcp", "127.0.0.1:"+f.port)
	f.start(t, "127.0.0.2")
	dns.set("pods.svc", "127.0.0.1")
	r := dialFleet(t, &dns, "dns:///pods.svc:"+f.port)
	served := make(chan error, 1)
	go func() {
		_, err := r.ask(0)
		served <- err
	}()
	<-asked
	dns.set("pods.svc", "127.0.0.2")
	until(t, func() error {
		r.Failed(0)
		if who, err := r.ask(0); err != nil || who != "127.0.0.2" {
			return errors.Join(err, errors.New("the old replica is asked"))
		}
		return nil
	})
	close(answer)
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestLiteralTargets(t *testing.T) {
	f := newFleet(t)
	f.start(t, "127.0.0.1")
	lookup := func(_ context.Context, host string) ([]string, error) {
		if host != "localhost" {
			return nil, fmt.Errorf("%s was looked up", host)
		}
		return []string{"127.0.0.1"}, nil
	}
	for _, target := range []string{"127.0.0.1:" + f.port, "dns:///127.0.0.1:" + f.port, "[::ffff:127.0.0.1]:" + f.port, ":" + f.port} {
		t.Run(target, func(t *testing.T) {
			if err := ping(t, testpb.NewTestServiceClient(dial(t, rpc.DialerOptions{Lookup: lookup}, target, rpc.ConnOptions{}))); err != nil {
				t.Error(err)
			}
		})
	}
}
