package head

import (
	"context"
	"net"

	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"
)

// wireBuffer is what a connection over memory holds in each direction: the largest request and what stands around it.
const wireBuffer = 2 << 20

// wire serves the member's gRPC API over memory, for code that makes its own calls on a client's connection.
type wire struct {
	listener *bufconn.Listener
	server   *grpc.Server
	done     chan struct{}
}

func newWire(member *etcdserver.EtcdServer) *wire {
	w := &wire{listener: bufconn.Listen(wireBuffer), server: v3rpc.Server(member, nil, nil), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		_ = w.server.Serve(w.listener) // It ends when close stops it; before, nothing can go wrong with memory.
	}()
	return w
}

// address looks like one; the dialer does not.
func (w *wire) address() string { return "127.0.0.1:0" }

func (w *wire) dialer() grpc.DialOption {
	return grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return w.listener.DialContext(ctx) })
}

// close ends the connections.
func (w *wire) close() {
	w.server.Stop()
	<-w.done
}
