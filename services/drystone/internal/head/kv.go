package head

import (
	"context"
	"io"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"go.etcd.io/etcd/server/v3/proxy/grpcproxy/adapter"
	"google.golang.org/grpc"
)

// kv adds to etcd's own adapter what that one refuses: RangeStream, by which a replica loads its copy of the head.
type kv struct {
	etcdserverpb.KVClient
	server etcdserverpb.KVServer
}

func newKV(s *etcdserver.EtcdServer) kv {
	server := v3rpc.NewQuotaKVServer(s)
	return kv{KVClient: adapter.KvServerToKvClient(server), server: server}
}

// RangeStream implements etcdserverpb.KVClient.
func (k kv) RangeStream(
	ctx context.Context, in *etcdserverpb.RangeRequest, _ ...grpc.CallOption,
) (grpc.ServerStreamingClient[etcdserverpb.RangeStreamResponse], error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &rangeStream{ctx: ctx, chunks: make(chan *etcdserverpb.RangeStreamResponse), done: make(chan struct{})}
	go func() {
		defer cancel()
		defer close(s.done)
		s.err = k.server.RangeStream(in, s)
	}()
	return rangeReader{stream: s}, nil
}

// rangeStream is the server's end; the reader's end shares it. The goroutine that fills it ends when the range does
// or when the caller's context does.
type rangeStream struct {
	grpc.ServerStream
	ctx    context.Context
	chunks chan *etcdserverpb.RangeStreamResponse
	done   chan struct{}
	err    error // set before done is closed
}

// Context implements grpc.ServerStream.
func (s *rangeStream) Context() context.Context { return s.ctx }

// Send implements grpc.ServerStreamingServer.
func (s *rangeStream) Send(m *etcdserverpb.RangeStreamResponse) error {
	select {
	case s.chunks <- m:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// rangeReader is the caller's end.
type rangeReader struct {
	grpc.ClientStream
	stream *rangeStream
}

// Context implements grpc.ClientStream.
func (r rangeReader) Context() context.Context { return r.stream.ctx }

// Recv implements grpc.ServerStreamingClient.
func (r rangeReader) Recv() (*etcdserverpb.RangeStreamResponse, error) {
	select {
	case m := <-r.stream.chunks:
		return m, nil
	case <-r.stream.done:
		if r.stream.err != nil {
			return nil, r.stream.err
		}
		return nil, io.EOF
	}
}
