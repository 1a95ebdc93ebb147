// Package rpc is how services of the mesh call each other: the same server and the same client behaviour over the
// network and inside one process.
//
// Constraints:
//
//  1. Handlers cannot tell the transports apart: interceptors, errors, metadata, deadlines and cancellation are the
//     same. What differs on purpose is listed in 2 to 6.
//  2. In process nothing is serialized: the receiver gets its own top-level message whose fields *alias* the sender's
//     (byte slices, lists, nested messages). Neither side may write to what is shared.
//  3. A unary call in process runs on the caller's goroutine and returns only when the handler has returned, also
//     after ctx ended: so request and lent buffers are the caller's again when Invoke returns. The handler's context
//     is the caller's and does not end with the handler.
//  4. A streamed message is the receiver's until it *calls* RecvMsg again: when SendMsg returns, the receiver holds
//     that message and the one before it is free. So a sender alternates two buffers, or does not reuse them.
//  5. The first SendMsg of a client stream returns only when the handler asks for a second message, begins to answer,
//     or has ended: a refusal precedes the body (100-continue). NewStream does not block.
//  6. Header on the client side of a stream returns the error of a handler that ended before it sent a header;
//     RecvMsg returns it too.
//  7. After a client gave up a stream its handler may still run for a moment; TrackHandlers waits for it before
//     buffers are used again.
//  8. Context values flow into in-process handlers, except gRPC's own (metadata, peer) and what is meant for one hop
//     (WithBuffer, WithSource, TrackHandlers). No handler may rely on a value that the network would not carry.
package rpc
