package peers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/rpc"
)

const (
	// A stream is given up after a second without any answer while frames are outstanding. The second is counted in
	// ticks, and only ticks that this process saw count: a process that was stopped for a while does not blame its
	// peers for the time it missed.
	silenceTick  = 200 * time.Millisecond
	silenceTicks = 5
)

// stream is one append stream to a node, from its first frame until it breaks.
type stream struct {
	peer *peer
	// ctx ends the stream; it belongs to Run.
	ctx    context.Context //nolint:containedctx // the stream's own life
	cancel context.CancelFunc
	// wake tells the sender that the queue or the window changed.
	wake chan struct{}

	mu sync.Mutex
	// queue holds calls that were not handed over yet, sent those that were and are not answered.
	queue      []*call
	sent       map[uint64]*call
	queueBytes int
	sentBytes  int
	nextID     uint64
	// broken is why nothing more is taken; held are the calls that the far end, or the network, may still read.
	broken error
	held   []*call
	// local: the node runs in this process. run alone uses it.
	local bool
	// quiet counts ticks since the last answer; ticking: the timer runs.
	quiet   int
	watch   *time.Timer
	ticking bool
}

func newStream(p *peer) *stream {
	ctx, cancel := context.WithCancel(p.owner.life)
	s := &stream{
		peer: p, ctx: ctx, cancel: cancel, wake: make(chan struct{}, 1), sent: make(map[uint64]*call), ticking: true,
	}
	s.watch = time.AfterFunc(silenceTick, s.tick)
	return s
}

// enqueue takes a call in; false when the stream is broken. Errors: OVERLOADED.
func (s *stream) enqueue(c *call) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return false, nil
	}
	if len(s.queue)+len(s.sent) >= queueFrames || s.queueBytes+s.sentBytes+c.bytes > queueBytes {
		return false, fault.New(codes.ResourceExhausted, typesv1.Reason_REASON_OVERLOADED,
			"%d frames wait for node %q", len(s.queue)+len(s.sent), s.peer.node)
	}
	if len(s.queue)+len(s.sent) == 0 {
		s.quiet = 0
		if !s.ticking { // most answers take less than a tick
			s.ticking = true
			s.watch.Reset(silenceTick)
		}
	}
	s.queue = append(s.queue, c)
	s.queueBytes += c.bytes
	s.signal()
	return true, nil
}

func (s *stream) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// tick counts silence and ends it.
func (s *stream) tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil || len(s.queue)+len(s.sent) == 0 {
		s.ticking = false
		return
	}
	s.quiet++
	if s.quiet <= silenceTicks {
		s.watch.Reset(silenceTick)
		return
	}
	// The cancel makes the receiver return, which fails the frames.
	s.broken = fault.New(codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE,
		"node %q answered nothing for %v", s.peer.node, silenceTick*silenceTicks)
	s.cancel()
}

func (s *stream) stopWatch() {
	s.watch.Stop()
	s.cancel()
}

// run opens the stream and works until it breaks or the owner ends it.
func (s *stream) run() {
	defer s.stopWatch()
	ctx, handlersDone := rpc.TrackHandlers(s.ctx)
	s.fail(s.exchange(ctx))
	s.cancel()
	handlersDone()
	for _, c := range s.held {
		c.frame.Released(s.local)
	}
}

// exchange sends and receives until one of both ends, and returns why when neither goes on.
func (s *stream) exchange(ctx context.Context) error {
	client, local, err := s.peer.client()
	if err != nil {
		return err
	}
	s.local = local
	grpcStream, err := client.Append(ctx)
	if err != nil {
		return fmt.Errorf("opening an append stream: %w", err)
	}
	var sending sync.WaitGroup
	defer sending.Wait()
	// Without the receiver nothing is answered, without the sender nothing comes: either one ends the other.
	defer s.cancel()
	sending.Go(func() { s.send(grpcStream) })
	for {
		answer, err := grpcStream.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return fault.New(codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE, "the node ended the stream")
			}
			return fmt.Errorf("receiving from an append stream: %w", err)
		}
		s.answer(answer)
	}
}

// send hands over calls in order. When that fails it ends; the receiver learns why.
func (s *stream) send(grpcStream chunkv1.ChunkService_AppendClient) {
	for {
		c := s.next()
		if c == nil {
			return
		}
		if err := grpcStream.Send(c.frame.Request); err != nil {
			if !errors.Is(err, io.EOF) { // with io.EOF the receiver has the reason
				s.cancel()
			}
			return
		}
	}
}

// next waits for a call that fits the window and counts it as handed over; nil when the stream ends.
func (s *stream) next() *call {
	for {
		if c := s.take(); c != nil {
			return c
		}
		select {
		case <-s.wake:
		case <-s.ctx.Done():
			return nil
		}
	}
}

func (s *stream) take() *call {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 || s.broken != nil || len(s.sent) >= wireFrames {
		return nil
	}
	c := s.queue[0]
	if len(s.sent) > 0 && s.sentBytes+c.bytes > wireBytes {
		return nil
	}
	s.queue[0] = nil
	s.queue = s.queue[1:]
	s.nextID++
	c.frame.Request.RequestId = s.nextID
	s.sent[s.nextID] = c
	s.queueBytes -= c.bytes
	s.sentBytes += c.bytes
	return c
}

// answer resolves one call.
func (s *stream) answer(a *chunkv1.AppendResponse) {
	s.mu.Lock()
	c := s.sent[a.GetRequestId()]
	if c != nil {
		delete(s.sent, a.GetRequestId())
		s.sentBytes -= c.bytes
		s.quiet = 0
		s.signal()
	}
	s.mu.Unlock()
	if c == nil {
		s.peer.owner.log.Warn("a node answered a frame that was not sent", slog.String("node", s.peer.node))
		return
	}
	err := fault.FromWire(a.GetCode(), a.GetReason(), a.GetMessage())
	if err == nil {
		s.peer.metrics.seconds.Observe(clock.Since(c.begin).Seconds())
	}
	c.frame.Answered(err)
	c.frame.Released(true)
}

// fail answers all calls with why the stream broke. Those that were handed over stay held; run releases them.
func (s *stream) fail(cause error) {
	s.mu.Lock()
	if s.broken == nil {
		s.broken = broken(s.peer.node, cause)
	}
	err := s.broken
	queued := s.queue
	for _, c := range s.sent {
		s.held = append(s.held, c)
	}
	s.queue, s.sent = nil, nil
	s.mu.Unlock()
	if len(queued)+len(s.held) > 0 {
		s.peer.metrics.broken.Inc()
	}
	for _, c := range s.held {
		c.frame.Answered(err)
	}
	for _, c := range queued {
		c.frame.Answered(err)
		c.frame.Released(true)
	}
}

// broken is what the frames of a broken stream are told. The node's own reason for refusing the stream stays: it may
// shed load, which is no failure, or shut down.
func broken(node string, cause error) error {
	code, reason := codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE
	switch got := fault.Reason(cause); got {
	case typesv1.Reason_REASON_UNSPECIFIED, typesv1.Reason_REASON_INTERNAL:
	case typesv1.Reason_REASON_OVERLOADED:
		code, reason = codes.ResourceExhausted, got
	default:
		reason = got
	}
	return fault.Wrap(cause, code, reason, "the append stream to node %q broke", node)
}
