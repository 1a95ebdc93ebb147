package server

import (
	"context"
	"errors"
	"io"
	"sync"

	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc/codes"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/chunkserver/internal/chunkfile"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/rpc"
)

const (
	// streamFrames and streamBytes bound the appends of one stream that are not answered yet; then the stream is not
	// read until some are. Senders keep below: see datapath/peers.
	streamFrames = 512
	streamBytes  = 64 << 20
)

// Append takes frames in the order sent, and answers each when it is durable. A request and what it points to, also
// memory of a sender in this process, is used until its answer was given away and not after.
func (s *Service) Append(stream chunkv1.ChunkService_AppendServer) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	a := newAnswers(stream, cancel)
	var sending sync.WaitGroup
	sending.Go(a.send)
	ended := make(chan error, 1)
	// It may outlive this call for a moment: what it still receives then is not taken.
	s.detached.Go(func() { ended <- s.takeAll(ctx, stream, a) })
	var err error
	select {
	case err = <-ended:
	case <-rpc.Draining(ctx):
		err = fault.New(codes.Unavailable, typesv1.Reason_REASON_SHUTTING_DOWN, "the chunk-server stops")
	}
	a.finish() // waits for the disks: they may still read what the sender lent
	sending.Wait()
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// takeAll reads the stream until it ends. Error: io.EOF, or why the stream broke.
func (s *Service) takeAll(ctx context.Context, stream chunkv1.ChunkService_AppendServer, a *answers) error {
	for {
		req, err := stream.Recv()
		if err != nil {
			return err
		}
		if err := a.begin(ctx, int64(len(req.GetData()))); err != nil {
			return err
		}
		s.take(req, a)
	}
}

// take gives one frame to its chunk.
func (s *Service) take(req *chunkv1.AppendRequest, a *answers) {
	id, size := req.GetRequestId(), int64(len(req.GetData()))
	d, key, err := s.find(req.GetChunk())
	if err == nil {
		err = d.Append(key, &chunkfile.Append{
			Row: req.GetRow(), Rows: req.GetRows(), GranuleLog2: uint8(min(req.GetGranuleLog2(), tooLarge)),
			Continuation: req.GetContinuation(), SyncedRow: req.GetSyncedRow(), CRCs: req.GetCrcs(), Data: req.GetData(),
			Done: func(err error) { a.add(id, size, err) },
		})
	}
	if err != nil {
		a.add(id, size, err)
	}
}

// tooLarge is a granule's logarithm that no check lets pass, and that a byte holds.
const tooLarge = 255

// answers collects what is to be told and tells it, out of the order of the questions.
type answers struct {
	stream chunkv1.ChunkService_AppendServer
	// broken is called when telling failed: the stream need not be read any more.
	broken context.CancelFunc
	slots  *semaphore.Weighted
	bytes  *semaphore.Weighted
	wake   chan struct{}
	asked  sync.WaitGroup

	mu    sync.Mutex
	ready []*chunkv1.AppendResponse
	// closed says that no more questions are taken.
	closed bool
	// last says that no more will come.
	last bool
}

func newAnswers(stream chunkv1.ChunkService_AppendServer, broken context.CancelFunc) *answers {
	return &answers{
		stream: stream, broken: broken, slots: semaphore.NewWeighted(streamFrames),
		bytes: semaphore.NewWeighted(streamBytes), wake: make(chan struct{}, 1),
	}
}

// begin waits for room for one more question of so many bytes.
func (a *answers) begin(ctx context.Context, size int64) error {
	if err := a.slots.Acquire(ctx, 1); err != nil {
		return fault.FromContext(err)
	}
	if err := a.bytes.Acquire(ctx, min(size, streamBytes)); err != nil {
		a.slots.Release(1)
		return fault.FromContext(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		a.free(size)
		return errClosed
	}
	a.asked.Add(1)
	return nil
}

// errClosed says that the stream takes no more questions; nobody hears it.
var errClosed = errors.New("the stream has ended")

// free gives back the room of a question.
func (a *answers) free(size int64) {
	a.bytes.Release(min(size, streamBytes))
	a.slots.Release(1)
}

// add takes an answer; it never blocks.
func (a *answers) add(id uint64, size int64, err error) {
	code, reason, message := fault.ToWire(err)
	a.mu.Lock()
	a.ready = append(a.ready, &chunkv1.AppendResponse{RequestId: id, Code: code, Reason: reason, Message: message})
	a.mu.Unlock()
	a.signal()
	a.free(size)
	a.asked.Done()
}

func (a *answers) signal() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// finish takes no more questions, waits for all to be answered, then lets send end.
func (a *answers) finish() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.asked.Wait()
	a.mu.Lock()
	a.last = true
	a.mu.Unlock()
	a.signal()
}

// send tells answers until finish was called and all are told, or the stream is broken.
func (a *answers) send() {
	for range a.wake {
		a.mu.Lock()
		batch, last := a.ready, a.last
		a.ready = nil
		a.mu.Unlock()
		for _, answer := range batch {
			if err := a.stream.Send(answer); err != nil {
				a.broken() // the reader of the stream ends; what is still asked is answered to nobody
				return
			}
		}
		if last {
			return
		}
	}
}
