package rpc

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// errGone says that the other side of a stream ended first.
var errGone = errors.New("the other side is gone")

// stream is what both sides of an in-process stream share.
type stream struct {
	conn   *inProcess
	method *method
	desc   *grpc.StreamDesc
	opts   []grpc.CallOption

	ctx    context.Context // a stream's context is part of gRPC's interface
	cancel context.CancelCauseFunc
	server *hop // the handler's

	requests, responses *pipe
	// reply holds the only response of a method that does not stream them: its handler must not wait for a client
	// that still sends.
	reply chan any

	headerOnce sync.Once
	header     chan struct{} // closed when the handler's header is sent
	done       chan struct{} // closed when the handler has returned and err is set
	err        error         // io.EOF after success
}

// NewStream starts the handler on its own goroutine, which ends when the handler returns: at the latest when a handler
// that heeds its context sees ctx end. Whose buffers it may still use waits by TrackHandlers.
func (c *inProcess) NewStream(ctx context.Context, desc *grpc.StreamDesc, full string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	m := c.server.method(full)
	if m == nil || m.stream == nil {
		return nil, status.Errorf(codes.Unimplemented, "unknown method %s", full)
	}
	if err := ctx.Err(); err != nil {
		return nil, status.FromContextError(err).Err()
	}
	if err := c.server.drain.enter(c.server.name); err != nil {
		return nil, wire(err)
	}
	st := c.newStream(ctx, desc, m, opts)
	tracker, _ := ctx.Value(trackKey{}).(*sync.WaitGroup)
	if tracker != nil {
		tracker.Add(1)
	}
	go func() {
		if tracker != nil {
			defer tracker.Done()
		}
		defer c.server.drain.leave()
		st.run()
	}()
	return &clientStream{stream: st}, nil
}

func (c *inProcess) newStream(ctx context.Context, desc *grpc.StreamDesc, m *method, opts []grpc.CallOption) *stream {
	st := &stream{
		conn: c, method: m, desc: desc, opts: opts,
		requests: newPipe(), responses: newPipe(), reply: make(chan any, 1),
		header: make(chan struct{}), done: make(chan struct{}),
	}
	st.ctx, st.cancel = context.WithCancelCause(ctx)
	st.server = c.hop(st.ctx, m.full)
	return st
}

// run is the handler's goroutine.
func (st *stream) run() {
	s := st.conn.server
	stop := context.AfterFunc(s.drain.ctx, func() {
		st.cancel(fault.New(codes.Unavailable, typesv1.Reason_REASON_SHUTTING_DOWN, "%s stops", s.name))
	})
	defer stop()
	info := &grpc.StreamServerInfo{
		FullMethod: st.method.full, IsClientStream: st.method.stream.ClientStreams, IsServerStream: st.method.stream.ServerStreams,
	}
	err := s.stream(st.method.impl, handlerStream{st}, info, st.method.stream.Handler)
	switch {
	case err == nil:
		st.err = io.EOF
	case fault.Code(err) == codes.Canceled && st.ctx.Err() != nil:
		st.err = st.over()
	default:
		st.err = wire(err)
	}
	close(st.done)
	st.cancel(nil) // wakes a client that waits for a message
	for _, o := range st.opts {
		if o, ok := o.(grpc.OnFinishCallOption); ok {
			o.OnFinish(err)
		}
	}
}

func (st *stream) sendHeader() { st.headerOnce.Do(func() { close(st.header) }) }

// over is the error of a stream whose context ended.
func (st *stream) over() error {
	if f, ok := fault.As(context.Cause(st.ctx)); ok {
		return wire(f)
	}
	return status.FromContextError(st.ctx.Err()).Err()
}

// ended says that the handler has returned; st.err may be read then.
func (st *stream) ended() bool { return isClosed(st.done) }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
