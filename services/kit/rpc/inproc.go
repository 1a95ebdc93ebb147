package rpc

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// InProcess is a client connection that calls this server's handlers directly; see the package's constraints. Errors
// are status errors like a network's, without causes.
func (s *Server) InProcess() grpc.ClientConnInterface { return s.inProcess("inproc") }

func (s *Server) inProcess(caller string) *inProcess {
	return &inProcess{server: s, caller: caller, peer: &peer.Peer{Addr: inProcessAddr(caller), LocalAddr: inProcessAddr(s.name)}}
}

type inProcess struct {
	server *Server
	caller string
	peer   *peer.Peer
}

// inProcessAddr names a caller where gRPC wants an address.
type inProcessAddr string

func (a inProcessAddr) Network() string { return "inproc" }
func (a inProcessAddr) String() string  { return string(a) }

var _ net.Addr = inProcessAddr("")

// Invoke calls a unary handler on this goroutine.
func (c *inProcess) Invoke(ctx context.Context, full string, req, resp any, opts ...grpc.CallOption) error {
	m := c.server.method(full)
	if m == nil || m.unary == nil {
		return status.Errorf(codes.Unimplemented, "unknown method %s", full)
	}
	if err := ctx.Err(); err != nil {
		return status.FromContextError(err).Err()
	}
	h := c.hop(ctx, full)
	err := c.invoke(h, m, req, resp)
	h.meta.options(opts, c.peer, err)
	return err
}

func (c *inProcess) invoke(h *hop, m *method, req, resp any) error {
	s := c.server
	if err := s.drain.enter(s.name); err != nil {
		return wire(err)
	}
	defer s.drain.leave()
	decode := func(dst any) error { return handover(dst, req) }
	out, err := m.unary(m.impl, h, decode, s.unary)
	if err != nil {
		return wire(err)
	}
	return broken(handover(resp, out))
}

// hop makes the handler's context. What gRPC keeps in it is replaced: outgoing metadata becomes incoming.
func (c *inProcess) hop(ctx context.Context, full string) *hop {
	h := &hop{server: c.server, caller: c.caller, meta: transportStream{method: full}}
	h.lent, _ = ctx.Value(lentKey{}).([]byte)
	h.source, _ = ctx.Value(sourceKey{}).(io.Reader)
	md, sent := metadata.FromOutgoingContext(ctx)
	h.metadata = md
	if sent {
		ctx = metadata.NewOutgoingContext(ctx, nil)
	}
	ctx = metadata.NewIncomingContext(ctx, md)
	ctx = peer.NewContext(ctx, c.peer)
	h.Context = grpc.NewContextWithServerTransportStream(ctx, &h.meta)
	return h
}

// wire makes a handler's error what a network client would get.
func wire(err error) error {
	return status.Convert(err).Err()
}

// transportStream takes the handler's header and trailer.
type transportStream struct {
	method string

	mu              sync.Mutex
	header, trailer metadata.MD
	sent            bool
}

var errHeaderSent = errors.New("the header was sent already")

func (t *transportStream) Method() string { return t.method }

func (t *transportStream) SetHeader(md metadata.MD) error { return t.setHeader(md, false) }

func (t *transportStream) SendHeader(md metadata.MD) error { return t.setHeader(md, true) }

func (t *transportStream) setHeader(md metadata.MD, send bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sent {
		return status.Error(codes.Internal, errHeaderSent.Error())
	}
	t.header = metadata.Join(t.header, md)
	t.sent = send
	return nil
}

func (t *transportStream) SetTrailer(md metadata.MD) error {
	t.setTrailer(md)
	return nil
}

func (t *transportStream) setTrailer(md metadata.MD) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.trailer = metadata.Join(t.trailer, md)
}

// seal says that the header was sent.
func (t *transportStream) seal() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent = true
}

func (t *transportStream) headers() metadata.MD {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.header
}

func (t *transportStream) trailers() metadata.MD {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.trailer
}

// options gives the caller what it asked for by call options.
func (t *transportStream) options(opts []grpc.CallOption, p *peer.Peer, err error) {
	if len(opts) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range opts {
		switch o := o.(type) {
		case grpc.HeaderCallOption:
			*o.HeaderAddr = t.header
		case grpc.TrailerCallOption:
			*o.TrailerAddr = t.trailer
		case grpc.PeerCallOption:
			*o.PeerAddr = *p
		case grpc.OnFinishCallOption:
			o.OnFinish(err)
		}
	}
}
