package rpc_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/drystone-store/drystone/services/kit/rpc"
)

// fakeConn answers when it is told to, or never.
type fakeConn struct {
	rpc.Conn
	calls, closed int
	silent        bool
}

func (c *fakeConn) Invoke(ctx context.Context, _ string, _, _ any, _ ...grpc.CallOption) error {
	c.calls++
	if c.silent {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (c *fakeConn) Close() error {
	c.closed++
	return nil
}

func TestReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conns := []*fakeConn{{silent: true}, {}, {}}
		r := rpc.NewReplicas(time.Second, conns[0], conns[1], conns[2])
		n := r.Preferred()
		begin := time.Now()
		if err := r.Invoke(t.Context(), n, "/s/m", nil, nil); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Second {
			t.Errorf("a silent replica: %v after %v", err, time.Since(begin))
		}
		r.Failed(n)
		r.Failed(n) // somebody else noticed, too
		if r.Preferred() != n+1 || r.Conn(n+1) != rpc.Conn(conns[1]) || r.Conn(n+3) != rpc.Conn(conns[0]) {
			t.Errorf("preferred is %d after %d failed", r.Preferred(), n)
		}
		if err := r.Invoke(t.Context(), r.Preferred(), "/s/m", nil, nil); err != nil || conns[1].calls != 1 {
			t.Errorf("%v, %d calls", err, conns[1].calls)
		}
		met := map[uint64]bool{}
		for range 1000 {
			r.Spread()
			met[r.Preferred()] = true
		}
		if len(met) != r.Len() {
			t.Errorf("spread over %v", met)
		}
		if err := r.Close(); err != nil || conns[0].closed+conns[1].closed+conns[2].closed != 3 {
			t.Errorf("close: %v", err)
		}
	})
	dialer := rpc.NewDialer(rpc.DialerOptions{})
	for name, targets := range map[string][]string{"none": nil, "a malformed one": {"127.0.0.1:1", "no\x00scheme://x"}} {
		if _, err := rpc.DialReplicas(dialer, targets, rpc.ConnOptions{Peer: "p"}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
