package rpc

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// handlerStream is the handler's side of an in-process stream.
type handlerStream struct{ *stream }

func (s handlerStream) Context() context.Context { return s.server }

func (s handlerStream) SetHeader(md metadata.MD) error { return s.server.meta.SetHeader(md) }

func (s handlerStream) SendHeader(md metadata.MD) error {
	if err := s.server.meta.SendHeader(md); err != nil {
		return err
	}
	s.sendHeader()
	return nil
}

func (s handlerStream) SetTrailer(md metadata.MD) { s.server.meta.setTrailer(md) }

// SendMsg returns when the client holds the message; the response of a call that has one is kept for it instead.
func (s handlerStream) SendMsg(m any) error {
	if !isClosed(s.header) {
		s.server.meta.seal()
		s.sendHeader()
	}
	if !s.method.stream.ServerStreams {
		select {
		case s.reply <- m:
			return nil
		default:
			return status.Error(codes.Internal, "a second response to a call that has one")
		}
	}
	for {
		if put, err := s.responses.tryPut(m); put || err != nil {
			return broken(err)
		}
		select {
		case <-s.responses.asked:
		case <-s.ctx.Done():
			return s.over()
		}
	}
}

// RecvMsg asks for the client's next message; io.EOF after CloseSend.
func (s handlerStream) RecvMsg(m any) error {
	err := s.requests.receive(m, s.ctx.Done())
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return err
	case errors.Is(err, errGone):
		return s.over()
	}
	return broken(err)
}

// broken is the error of a hand-over that failed: the two sides do not agree what the message is.
func broken(err error) error {
	if err == nil {
		return nil
	}
	return status.Error(codes.Internal, err.Error())
}
