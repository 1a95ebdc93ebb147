package volume

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/datapath/record"
	"github.com/drystone-store/drystone/services/kit/fault"
)

const (
	// stripesInFlight bounds an upload's stripes on their way: while one is made durable the next one travels.
	stripesInFlight = 2

	// maxExtents is how many a row takes; longer lists are a record of their own.
	maxExtents = 64

	// checksumBytes is the checksum that a tail is shaped for while it is not known; one of another length costs a copy.
	checksumBytes = 8
)

// Stream makes a large payload durable while it arrives. One goroutine at a time may use it. Finish or Abort it: either
// releases what it holds.
type Stream struct {
	w    *Writer
	lane *lane
	// ctx is the upload's; stripes are carried in it.
	ctx    context.Context //nolint:containedctx // Write has none, as io.Writer
	cancel context.CancelFunc
	// header says whose bytes they are; size is the object's, 0 when it is not known.
	header *typesv1.RecordHeader
	size   uint64

	// filling takes what is written; offset is where it begins, or where the next one will.
	filling *stripe
	offset  uint64
	carries []*carry
	over    bool
	// placed is where the stripes before carries are; listed is the bytes of a list of its extents, listMost what a
	// record holds of one.
	placed           Placed
	listed, listMost int

	// slots bounds the stripes in flight.
	slots   chan struct{}
	tasks   sync.WaitGroup
	numbers atomic.Uint32

	mu  sync.Mutex
	err error
}

// carry is a stripe on its way.
type carry struct {
	stripe *stripe
	// sent is closed when the stripe has its place, or will not get one.
	sent chan struct{}
	// flight is set when the stripe is durable; the stream's mu guards it.
	flight *flight
}

// Stream begins an upload under the scheme that the bucket wants. The header says whose bytes they are; when its
// object_size is not 0 exactly as many bytes must be written. The upload fails when ctx ends.
// Errors: NOT_ENOUGH_DISKS, UNAVAILABLE, SHUTTING_DOWN (all with a retry delay), before any byte is taken;
// INVALID_SCHEME; ctx's.
func (w *Writer) Stream(ctx context.Context, scheme erasure.Scheme, header *typesv1.RecordHeader) (*Stream, error) {
	l, err := w.lane(typesv1.VolumeClass_VOLUME_CLASS_STREAM, scheme)
	if err != nil {
		return nil, err
	}
	l.enter()
	if _, err := l.current(ctx); err != nil {
		l.leave()
		return nil, err
	}
	h := w.complete(header, typesv1.RecordKind_RECORD_KIND_FRAGMENT)
	size := h.GetObjectSize()
	h.ObjectSize, h.Checksum, h.Extents = 0, nil, nil // of the tail alone
	ctx, cancel := context.WithCancel(ctx)
	return &Stream{
		w: w, lane: l, ctx: ctx, cancel: cancel, header: h, size: size, slots: make(chan struct{}, stripesInFlight),
		placed: Placed{Writer: w.name}, listMost: listCapacity(scheme.K),
	}, nil
}

// readPiece is what ReadFrom reads at a time: few enough bytes that who counts and sums them finds them in the
// processor's cache.
const readPiece = 256 << 10

// ReadFrom is Write for all that r has: the bytes are read into where they stay. The reader's errors come back as they
// are; then Abort the stream.
func (s *Stream) ReadFrom(r io.Reader) (int64, error) {
	total := int64(0)
	for {
		if s.size > 0 && s.length() == s.size {
			return total, s.expectEnd(r)
		}
		if err := s.ready(); err != nil {
			return total, err
		}
		room := s.filling.room()
		n, err := r.Read(room[:min(len(room), readPiece)])
		s.filling.length += n
		total += int64(n)
		if sent := s.dispatchFull(); sent != nil {
			return total, sent
		}
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err //nolint:wrapcheck // as io.ReaderFrom does
		}
	}
}

// expectEnd reads the end that stands behind the last byte.
func (s *Stream) expectEnd(r io.Reader) error {
	var probe [1]byte
	n, err := io.ReadFull(r, probe[:])
	if n > 0 {
		return s.tooLong()
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err //nolint:wrapcheck // as io.ReaderFrom does
}

func (s *Stream) tooLong() error {
	return fault.New(codes.InvalidArgument, typesv1.Reason_REASON_BODY_TOO_LONG,
		"more than the %d bytes that were announced", s.size)
}

// Write takes in the next bytes of the payload. It blocks while the memory of all uploads is used up or two stripes of
// this one are on their way. Errors: BODY_TOO_LONG beyond the size that was announced; OVERLOADED, with a delay, when no
// memory came free in time, which is soon for the first byte; OBJECT_TOO_LARGE when its extents become too many to list;
// why the upload failed, those of Stream; then Abort it.
func (s *Stream) Write(p []byte) (int, error) {
	if s.size > 0 && s.length()+uint64(len(p)) > s.size {
		return 0, s.tooLong()
	}
	written := 0
	for len(p) > 0 {
		if err := s.ready(); err != nil {
			return written, err
		}
		n := s.filling.write(p)
		written += n
		p = p[n:]
		if err := s.dispatchFull(); err != nil {
			return written, err
		}
	}
	return written, nil
}

// ready sees to it that there is a stripe to fill.
func (s *Stream) ready() error {
	if err := s.failure(); err != nil {
		return err
	}
	if s.filling != nil {
		return nil
	}
	if err := s.begin(); err != nil {
		return s.fail(err)
	}
	return nil
}

// dispatchFull sends the stripe on its way if it is full; the last one waits for Finish.
func (s *Stream) dispatchFull() error {
	if !s.filling.full() || s.filling.last {
		return nil
	}
	if err := s.dispatch(); err != nil {
		return s.fail(err)
	}
	return nil
}

// length is the bytes that were written.
func (s *Stream) length() uint64 {
	if s.filling == nil {
		return s.offset
	}
	return s.offset + uint64(s.filling.length)
}

// begin takes memory for the next stripe and shapes it for the volume that it will most likely go to.
func (s *Stream) begin() error {
	v, err := s.lane.current(s.ctx)
	if err != nil {
		return err
	}
	shape := s.shape(v.scheme.K)
	memory := int64(v.scheme.N() * block.Footprint(shape.headSize+shape.run))
	patience := stripePatience
	if s.offset == 0 {
		patience = memoryPatience
	}
	if err := acquire(s.ctx, s.w.memory, memory, patience); err != nil {
		return fmt.Errorf("beginning a stripe: %w", err)
	}
	s.filling = newStripe(s, v.code, shape, func() { s.w.memory.Release(memory) })
	return nil
}

// shape is what a stripe will hold.
type shape struct {
	// header is the record's when it is known; headSize is its place in the first column, 0 for none.
	header   *typesv1.RecordHeader
	headSize int
	// run is the payload's bytes in each column, limit those in all.
	run, limit int
	// last: the object ends here.
	last bool
}

// shape says what the next stripe holds in a volume with k data columns.
func (s *Stream) shape(k int) shape {
	if left := s.size - s.offset; s.size > 0 && left <= uint64(k*(block.Size-record.MaxHeader)) {
		tail := shape{run: block.SplitRun(int(left), k), limit: int(left), last: true}
		if s.offset == 0 { // nothing goes before it, so all of its header but the checksum is known
			header := s.tailHeader(&typesv1.Checksum{
				Kind: typesv1.ChecksumKind_CHECKSUM_KIND_CRC64NVME, Value: make([]byte, checksumBytes),
			}, nil)
			header.ObjectSize = s.size
			tail.headSize = record.Size(header)
		}
		return tail
	}
	if s.offset > 0 && s.lane.alone() {
		// Nobody else writes here, so this stripe will follow the one before it and needs no header.
		return shape{run: block.Size, limit: k * block.Size}
	}
	header := s.fragment(s.offset)
	headSize := record.Size(header)
	run := block.Size - headSize
	return shape{header: header, headSize: headSize, run: run, limit: k * run}
}

// dispatch sends the full stripe on its way. It waits while two are. Errors: OBJECT_TOO_LARGE; ctx's.
func (s *Stream) dispatch() error {
	if err := s.settle(); err != nil {
		return err
	}
	select {
	case s.slots <- struct{}{}:
	case <-s.ctx.Done():
		return gaveUp(s.ctx)
	}
	c := &carry{stripe: s.filling, sent: make(chan struct{})}
	var before <-chan struct{}
	if n := len(s.carries); n > 0 {
		before = s.carries[n-1].sent
	}
	s.carries = append(s.carries, c)
	s.offset += uint64(s.filling.length)
	s.filling = nil
	s.tasks.Go(func() {
		defer func() { <-s.slots }()
		if err := s.carry(c, before); err != nil {
			_ = s.fail(err) // Write and Finish return it
		}
	})
	return nil
}

// carry makes a stripe durable. Stripes are coded at the same time but sent in order, so that each can follow the last.
func (s *Stream) carry(c *carry, before <-chan struct{}) error {
	f, err := s.send(c.stripe, before)
	close(c.sent)
	if err == nil {
		f, err = s.lane.put(s.ctx, c.stripe, f)
	}
	s.mu.Lock()
	c.flight = f
	s.mu.Unlock()
	c.stripe.memory.release()
	c.stripe = nil
	return err
}

// settle takes in where the stripes are that became durable, in order. Errors: OBJECT_TOO_LARGE.
func (s *Stream) settle() error {
	s.mu.Lock()
	n := 0
	for n < len(s.carries) && s.carries[n].flight != nil {
		n++
	}
	s.mu.Unlock()
	for _, c := range s.carries[:n] {
		if err := s.list(c.flight); err != nil {
			return err
		}
	}
	s.carries = slices.Delete(s.carries, 0, n)
	return nil
}

func (s *Stream) send(t *stripe, before <-chan struct{}) (*flight, error) {
	if err := t.seal(); err != nil {
		return nil, err
	}
	if before != nil {
		<-before
	}
	return s.lane.append(s.ctx, t)
}

// Finish makes the rest durable and returns where all of it is. The checksum is the whole object's. It ends the stream,
// whatever it returns. Errors: INCOMPLETE_BODY when fewer bytes were written than announced; those of Write; ctx's.
func (s *Stream) Finish(ctx context.Context, checksum *typesv1.Checksum) (Placed, error) {
	defer s.Abort()
	stop := context.AfterFunc(ctx, s.cancel)
	defer stop()
	s.tasks.Wait()
	if err := s.failure(); err != nil {
		return Placed{}, err
	}
	if s.size > 0 && s.length() != s.size {
		return Placed{}, fault.New(codes.InvalidArgument, typesv1.Reason_REASON_INCOMPLETE_BODY,
			"%d bytes came of the %d that were announced", s.length(), s.size)
	}
	if err := s.settle(); err != nil {
		return Placed{}, err
	}
	f, err := s.putTail(s.tailHeader(checksum, s.placed.Extents))
	if err != nil {
		return Placed{}, err
	}
	if err := s.list(f); err != nil {
		return Placed{}, err
	}
	if len(s.placed.Extents) > maxExtents {
		return s.packExtents(s.placed)
	}
	return s.placed, nil
}

// putTail makes the last record durable.
func (s *Stream) putTail(header *typesv1.RecordHeader) (*flight, error) {
	t := s.filling
	if t == nil {
		return s.lane.put(s.ctx, &reshaper{stream: s, offset: s.offset, tail: header}, nil)
	}
	if !t.last || len(t.head) == 0 || !t.full() || record.Size(header) != len(t.head) {
		r := &reshaper{stream: s, columns: t.columns, length: t.length, offset: s.offset, tail: header}
		return s.lane.put(s.ctx, r, nil)
	}
	t.header = header
	if err := t.seal(); err != nil {
		return nil, err
	}
	return s.lane.put(s.ctx, t, nil)
}

// Abort gives the upload up; what was written are dead bytes. After Finish it does nothing. It returns when nothing of
// the stream runs any more.
func (s *Stream) Abort() {
	if s.over {
		return
	}
	s.over = true
	s.cancel()
	s.tasks.Wait()
	if s.filling != nil {
		s.filling.memory.release()
		s.filling = nil
	}
	s.lane.leave()
}

// fail ends the upload and returns why it failed: the first reason counts, the others follow from it.
func (s *Stream) fail(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
		s.cancel()
	}
	return s.err
}

func (s *Stream) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil && s.ctx.Err() != nil {
		return gaveUp(s.ctx)
	}
	return s.err
}

// number is the next record's; numbers are unique in an object, and a record that had to move may leave a gap.
func (s *Stream) number() uint32 { return s.numbers.Add(1) - 1 }

// fragment is the header of a new record that carries payload from offset on.
func (s *Stream) fragment(offset uint64) *typesv1.RecordHeader {
	h, _ := proto.Clone(s.header).(*typesv1.RecordHeader)
	h.Kind, h.Fragment, h.ObjectOffset = typesv1.RecordKind_RECORD_KIND_FRAGMENT, s.number(), offset
	return h
}

// tailHeader is the last record's header.
func (s *Stream) tailHeader(checksum *typesv1.Checksum, before []*typesv1.Extent) *typesv1.RecordHeader {
	h, _ := proto.Clone(s.header).(*typesv1.RecordHeader)
	h.Kind, h.Fragment, h.ObjectOffset = typesv1.RecordKind_RECORD_KIND_TAIL, s.numbers.Load(), s.offset
	h.ObjectSize, h.Checksum = s.length(), checksum
	if len(before) <= maxExtents {
		h.Extents = before
	}
	return h
}

// add takes in what a flight made durable.
func (p *Placed) add(f *flight) {
	for _, extent := range f.extents {
		p.Extents = block.Merge(p.Extents, proto.CloneOf(extent))
	}
	p.terms(f.volume.term.id)
}

func (p *Placed) terms(id uint64) {
	p.Term = max(p.Term, id)
	if p.OldestTerm == 0 || id < p.OldestTerm {
		p.OldestTerm = id
	}
}
