package memcluster

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// received is a frame that waits to be durable. Its bytes are the sender's until it is answered, and are looked at only
// then: a sender that reuses them early is found out.
type received struct {
	request *chunkv1.AppendRequest
	due     time.Time
}

type appendStream = grpc.BidiStreamingServer[chunkv1.AppendRequest, chunkv1.AppendResponse]

// Append takes frames and answers each after the node's delay, those of one chunk in order.
func (n *Node) Append(stream appendStream) error {
	n.mu.Lock()
	killed, isDead := n.killed, n.faults.Dead
	var refused error
	if n.faults.Stream != nil {
		refused = n.faults.Stream()
	}
	n.mu.Unlock()
	if isDead {
		return n.dead()
	}
	if refused != nil {
		return refused
	}
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	a := &appender{node: n, killed: killed, stream: stream, cancel: cancel, queues: make(map[Key]chan received)}
	// It ends when the stream does, which is when this handler has returned.
	go func() { cancel(a.receive(ctx)) }()
	<-ctx.Done()
	a.mu.Lock()
	a.ended = true
	a.mu.Unlock()
	a.answering.Wait()
	if err := context.Cause(ctx); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// appender is one append stream.
type appender struct {
	node    *Node
	killed  <-chan struct{}
	stream  appendStream
	cancel  context.CancelCauseFunc
	queues  map[Key]chan received
	sending sync.Mutex

	mu        sync.Mutex
	ended     bool // no more goroutines are started
	answering sync.WaitGroup
}

// receive queues frames by chunk until the stream ends.
func (a *appender) receive(ctx context.Context) error {
	for {
		request, err := a.stream.Recv()
		if err != nil {
			return err //nolint:wrapcheck // the stream's own
		}
		a.node.mu.Lock()
		delay := a.node.faults.Delay
		if a.node.faults.Stall != nil {
			delay += a.node.faults.Stall(request)
		}
		a.node.mu.Unlock()
		select {
		case a.queue(ctx, keyOf(request.GetChunk())) <- received{request: request, due: clock.Now().Add(delay)}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// queue is where a chunk's frames wait.
func (a *appender) queue(ctx context.Context, key Key) chan received {
	queue := a.queues[key]
	if queue != nil {
		return queue
	}
	queue = make(chan received, 1024)
	a.queues[key] = queue
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.ended {
		a.answering.Go(func() { a.answer(ctx, queue) })
	}
	return queue
}

// answer makes a chunk's frames durable in order.
func (a *appender) answer(ctx context.Context, queue <-chan received) {
	for {
		var r received
		select {
		case r = <-queue:
		case <-a.killed:
			a.cancel(a.node.dead())
			return
		case <-ctx.Done():
			return
		}
		if wait := r.due.Sub(clock.Now()); wait > 0 {
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-a.killed:
				timer.Stop()
				a.cancel(a.node.dead())
				return
			case <-ctx.Done():
				timer.Stop()
				return
			}
		}
		if err := a.settle(r.request); err != nil {
			a.cancel(err)
			return
		}
	}
}

// settle applies a frame and answers it, unless the node is silent.
func (a *appender) settle(r *chunkv1.AppendRequest) error {
	answer, err := a.node.settle(r)
	if answer == nil || err != nil {
		return err
	}
	a.sending.Lock()
	defer a.sending.Unlock()
	return a.stream.Send(answer) //nolint:wrapcheck // the stream's own
}

// settle applies a frame and makes its answer; nil when the node is silent.
func (n *Node) settle(r *chunkv1.AppendRequest) (*chunkv1.AppendResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.faults.Silent:
		return nil, nil //nolint:nilnil // no answer and no error is what silence is
	case n.faults.Torn:
		n.faults.Torn = false
		n.die()
		return nil, n.dead()
	case n.faults.Dead:
		return nil, n.dead()
	}
	answer := &chunkv1.AppendResponse{RequestId: r.GetRequestId()}
	answer.Code, answer.Reason, answer.Message = fault.ToWire(n.apply(r))
	return answer, nil
}
