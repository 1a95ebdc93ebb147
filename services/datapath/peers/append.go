package peers

import (
	"time"

	"google.golang.org/grpc/codes"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/fault"
)

const (
	// queueFrames and queueBytes bound what waits for one node, answers included. Writers bound what they send well
	// below, so this is a guard against a bug, and frames beyond it are refused.
	queueFrames = 4096
	queueBytes  = 1 << 30

	// wireFrames and wireBytes bound what is handed to one node and not yet answered: enough to keep a fast disk busy
	// while answers travel, little enough that a chunk-server's memory does not depend on its slowest disk.
	wireFrames = 256
	wireBytes  = 32 << 20
)

// Frame is one append on its way.
type Frame struct {
	// Request is the append; its request id is set here. It and all it points to must not change until Released.
	Request *chunkv1.AppendRequest
	// Answered gets nil when the frame is durable, else why it may not be: the errors of ChunkService.Append, or
	// UNAVAILABLE when the stream broke and the outcome is unknown. It may be called before Append returns and must
	// not block.
	Answered func(err error)
	// Released says that this frame does not need the request's bytes any more. They may be written to again only if
	// reusable: after its stream broke, the network may go on reading them, and the garbage collector has to wait for
	// it. A node in this process may read them for as long as its handler runs, so this may come long after Answered.
	// It must not block.
	Released func(reusable bool)
}

// Append sends a frame to a node, behind all earlier ones, without waiting: what becomes of it the frame's functions
// are told.
func (p *Peers) Append(node string, f Frame) {
	c := &call{frame: f, bytes: len(f.Request.GetData()), begin: clock.Now()}
	peer, err := p.peer(node)
	if err == nil {
		err = peer.append(c)
	}
	if err != nil {
		f.Answered(err)
		f.Released(true)
	}
}

// append queues a call on the node's stream, on a new one when the last one broke.
func (p *peer) append(c *call) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stream != nil {
		if took, err := p.stream.enqueue(c); took || err != nil {
			return err
		}
	}
	s := newStream(p)
	if _, err := s.enqueue(c); err != nil {
		return err
	}
	if !p.owner.start(s.run) {
		s.stopWatch()
		return fault.New(codes.Unavailable, typesv1.Reason_REASON_SHUTTING_DOWN, "connections to chunk-servers are closed")
	}
	p.stream = s
	return nil
}

// call is a frame in a stream.
type call struct {
	frame Frame
	bytes int
	begin time.Time
}
