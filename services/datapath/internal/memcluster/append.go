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

// Append takes frames and answers each after the node's delay, in order.
func (n *Node) Append(stream grpc.BidiStreamingServer[chunkv1.AppendRequest, chunkv1.AppendResponse]) error {
	n.mu.Lock()
	killed := n.killed
	isDead := n.faults.Dead
	n.mu.Unlock()
	if isDead {
		return n.dead()
	}
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	queue := make(chan received, 1024)
	var answering sync.WaitGroup
	answering.Go(func() {
		if err := n.answer(ctx, killed, queue, stream); err != nil {
			cancel(err)
		}
	})
	receiving := make(chan error, 1)
	go func() { receiving <- n.receive(stream, queue) }()
	var err error
	select {
	case err = <-receiving:
		close(queue)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	answering.Wait()
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return err
}

func (n *Node) receive(
	stream grpc.BidiStreamingServer[chunkv1.AppendRequest, chunkv1.AppendResponse], queue chan<- received,
) error {
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err //nolint:wrapcheck // the stream's own
		}
		n.mu.Lock()
		delay := n.faults.Delay
		n.mu.Unlock()
		select {
		case queue <- received{request: request, due: clock.Now().Add(delay)}:
		case <-stream.Context().Done():
			return fault.FromContext(stream.Context().Err())
		}
	}
}

// answer makes frames durable in order.
func (n *Node) answer(
	ctx context.Context, killed <-chan struct{}, queue <-chan received,
	stream grpc.BidiStreamingServer[chunkv1.AppendRequest, chunkv1.AppendResponse],
) error {
	for {
		var r received
		var open bool
		select {
		case r, open = <-queue:
		case <-killed:
			return n.dead()
		case <-ctx.Done():
			return nil
		}
		if !open {
			return nil
		}
		if wait := r.due.Sub(clock.Now()); wait > 0 {
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-killed:
				timer.Stop()
				return n.dead()
			case <-ctx.Done():
				timer.Stop()
				return nil
			}
		}
		answer, err := n.settle(r.request)
		if err != nil {
			return err
		}
		if answer == nil {
			continue
		}
		if err := stream.Send(answer); err != nil {
			return err //nolint:wrapcheck // the stream's own
		}
	}
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
