package rpc

import (
	"context"
	"io"
	"sync"

	"google.golang.org/grpc/metadata"

	"github.com/drystone-store/drystone/services/kit/log"
)

// The values of this file are meant for one hop: from a caller to the handler it calls in this process.

type (
	lentKey   struct{} // caller's side: the buffer it lends
	sourceKey struct{} // caller's side: what it would send
	trackKey  struct{} // caller's side: who waits for handlers
	hopKey    struct{} // handler's side
)

// WithBuffer lends b, up to its capacity, for a bulk read. In process the handler gets it (Buffer) and reads straight into it when it is large
// enough; over the network the response's bulk field (BulkFields) is received into it. In both cases the response then
// aliases b, and it does not when b was too small or nobody cared: the caller must look. The buffer is the caller's again
// when the call returns.
func WithBuffer(ctx context.Context, b []byte) context.Context {
	return context.WithValue(ctx, lentKey{}, b)
}

// Buffer is what the caller of this handler lent, nil when nothing.
func Buffer(ctx context.Context) []byte {
	if h, ok := ctx.Value(hopKey{}).(*hop); ok {
		return h.lent
	}
	return nil
}

// WithSource offers the handler of an in-process client stream the bytes themselves, so that it reads them into where they
// shall be instead of receiving them in messages. The caller begins to read r for messages only after its first SendMsg
// has returned (see constraint 5), so until then r is the handler's. Over the network nobody sees it.
func WithSource(ctx context.Context, r io.Reader) context.Context {
	return context.WithValue(ctx, sourceKey{}, r)
}

// Source is what the caller of this handler offers, nil when the bytes come in messages alone.
func Source(ctx context.Context) io.Reader {
	if h, ok := ctx.Value(hopKey{}).(*hop); ok {
		return h.source
	}
	return nil
}

// TrackHandlers returns a context and a wait that returns when the handlers of all in-process streams begun with it
// have returned: before that they may use the buffers they were sent. End the streams (cancel the context) before
// waiting. Handlers at the far end of a network are not waited for: they have copies.
func TrackHandlers(ctx context.Context) (tracked context.Context, wait func()) {
	group := new(sync.WaitGroup)
	return context.WithValue(ctx, trackKey{}, group), group.Wait
}

// Draining is closed when the server that runs this handler begins to stop. Handlers of streams that would not end by
// themselves return SHUTTING_DOWN then. Nil, so never ready, outside a handler.
func Draining(ctx context.Context) <-chan struct{} {
	if h, ok := ctx.Value(hopKey{}).(*hop); ok {
		return h.server.drain.begun
	}
	return nil
}

// hop is the context of a handler: what it knows of its call, in one piece.
type hop struct {
	context.Context
	server *Server
	scope  log.Scope
	caller string

	// Of in-process calls only: the buffer lent, the source offered, the metadata sent, and what the handler answers beside
	// messages.
	lent     []byte
	source   io.Reader
	metadata metadata.MD
	meta     transportStream
}

// Value answers for what the hop holds and hides what the caller meant for its own next hop.
func (h *hop) Value(key any) any {
	switch key.(type) {
	case hopKey:
		return h
	case log.ScopeKey:
		return &h.scope
	case lentKey, sourceKey, trackKey:
		return nil
	}
	return h.Context.Value(key)
}
