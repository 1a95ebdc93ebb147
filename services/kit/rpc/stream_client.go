package rpc

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// clientStream is the caller's side of an in-process stream.
type clientStream struct {
	*stream
	accepted bool // the first message is past; its sender's alone
	replied  bool // the only response was received; its receiver's alone
}

func (s *clientStream) Context() context.Context { return s.ctx }

func (s *clientStream) CloseSend() error {
	s.requests.close()
	return nil
}

func (s *clientStream) Header() (metadata.MD, error) {
	select {
	case <-s.header:
	case <-s.done:
		if !isClosed(s.header) && !errors.Is(s.err, io.EOF) {
			return s.server.meta.headers(), s.err
		}
	}
	return s.server.meta.headers(), nil
}

func (s *clientStream) Trailer() metadata.MD {
	<-s.done
	return s.server.meta.trailers()
}

// SendMsg returns when the handler holds the message, the first of a client stream when it is accepted as well.
// io.EOF: the handler has returned, RecvMsg has its status.
func (s *clientStream) SendMsg(m any) error {
	for {
		put, err := s.requests.tryPut(m)
		if err != nil {
			return broken(err)
		}
		if put {
			break
		}
		select {
		case <-s.requests.asked:
		case <-s.done:
			return io.EOF
		case <-s.ctx.Done():
			return s.gone()
		}
	}
	if s.accepted || !s.desc.ClientStreams {
		return nil
	}
	s.accepted = true
	return s.awaitAcceptance()
}

// awaitAcceptance returns when the handler asked for a second message or began to answer.
func (s *clientStream) awaitAcceptance() error {
	const second = 2
	for !s.requests.askedFor(second) {
		select {
		case <-s.requests.asked:
		case <-s.header:
			return nil
		case <-s.done:
			return io.EOF
		case <-s.ctx.Done():
			return s.gone()
		}
	}
	return nil
}

// gone is what SendMsg returns after ctx ended, which it does when the handler has returned, too.
func (s *clientStream) gone() error {
	if s.ended() {
		return io.EOF
	}
	return s.over()
}

// RecvMsg returns the next response, then io.EOF or the handler's status.
func (s *clientStream) RecvMsg(m any) error {
	var err error
	if s.desc.ServerStreams {
		err = s.receive(m)
	} else {
		err = s.receiveReply(m)
	}
	if err != nil || !s.desc.ServerStreams {
		s.finish()
	}
	return err
}

func (s *clientStream) receive(m any) error {
	err := s.responses.receive(m, s.ctx.Done())
	switch {
	case err == nil:
		return nil
	case s.ended():
		return s.err
	case errors.Is(err, errGone):
		return s.over()
	}
	return broken(err)
}

// receiveReply waits for the handler's return: the response only counts with its status.
func (s *clientStream) receiveReply(m any) error {
	select {
	case <-s.done:
	case <-s.ctx.Done():
		if !s.ended() {
			return s.over()
		}
	}
	if !errors.Is(s.err, io.EOF) || s.replied {
		return s.err
	}
	select {
	case reply := <-s.reply:
		s.replied = true
		return broken(handover(m, reply))
	default:
		return status.Error(codes.Internal, "the handler sent no response")
	}
}

// finish fills what the caller asked for by call options.
func (s *clientStream) finish() {
	for _, o := range s.opts {
		switch o := o.(type) {
		case grpc.HeaderCallOption:
			*o.HeaderAddr = s.server.meta.headers()
		case grpc.TrailerCallOption:
			*o.TrailerAddr = s.server.meta.trailers()
		case grpc.PeerCallOption:
			*o.PeerAddr = *s.conn.peer
		}
	}
}
