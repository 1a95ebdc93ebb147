package rpc

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/drystone-store/drystone/services/kit/clock"
)

// NewStream begins a stream behind the breaker, which hears of it once: at the first response, since that shows a peer
// that serves, or at the end. A stream has no deadline but its context's. Errors are *fault.Error, those of the stream,
// too, except io.EOF. The context must be cancelled, or the stream received to its end.
func (c *conn) NewStream(ctx context.Context, desc *grpc.StreamDesc, full string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	m := c.method(full)
	done, err := m.breaker.Allow()
	if err != nil {
		m.seconds.observe(codes.Unavailable, 0)
		return nil, err
	}
	s := &observedStream{conn: c, method: m, desc: desc, done: done, begin: clock.Now(), ctx: ctx}
	// Who gives a stream up does not receive its end: the breaker must hear of it all the same.
	s.stop = context.AfterFunc(ctx, func() { _ = s.end(status.FromContextError(ctx.Err()).Err()) })
	out := ctx
	if c.network {
		out = c.outgoing(ctx)
	}
	s.ClientStream, err = c.transport.NewStream(out, desc, full, opts...)
	if err != nil {
		return nil, s.settle(err)
	}
	return s, nil
}

// observedStream reports how a stream went.
type observedStream struct {
	grpc.ClientStream
	conn   *conn
	method *clientMethod
	desc   *grpc.StreamDesc
	begin  time.Time
	ctx    context.Context // the stream's, for the log line at its end
	stop   func() bool

	judged sync.Once
	done   func(error) // the breaker's, called through judged
	ended  sync.Once
}

func (s *observedStream) Header() (metadata.MD, error) {
	md, err := s.ClientStream.Header()
	if err != nil {
		return md, s.settle(err)
	}
	return md, nil
}

func (s *observedStream) SendMsg(m any) error {
	err := s.ClientStream.SendMsg(m)
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return s.settle(err)
}

func (s *observedStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	switch {
	case err == nil && s.desc.ServerStreams:
		s.judged.Do(func() { s.done(nil) })
		return nil
	case err == nil:
		return s.settle(nil)
	case errors.Is(err, io.EOF):
		_ = s.settle(nil)
		return err
	}
	return s.settle(err)
}

// settle is end for the stream's own goroutines: the context need not be watched any more.
func (s *observedStream) settle(err error) error {
	s.stop()
	return s.end(err)
}

// end accounts for the stream's end, the first time, and explains its error.
func (s *observedStream) end(err error) error {
	f := s.conn.explain(err)
	s.ended.Do(func() {
		elapsed := clock.Since(s.begin)
		s.judged.Do(func() { s.conn.report(s.done, f, elapsed) })
		code := codes.OK
		if f != nil {
			code = f.Code()
			s.conn.logFailure(s.ctx, s.method.full, f)
		}
		s.method.seconds.observe(code, elapsed.Seconds())
	})
	if f == nil {
		return nil
	}
	return f
}
