package inmemory

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"

	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/datapath/volume"
	"github.com/drystone-store/drystone/services/frontdoor/internal/object"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// Volumes is a writer and a reader: each payload is a volume of its own. Its zero value is empty and ready.
type Volumes struct {
	mu       sync.Mutex
	payloads map[uint64][]byte
	headers  map[uint64]*typesv1.RecordHeader
	last     uint64
	streams  int
	failures []error
}

// Fail makes the next Pack, Stream or Read return err.
func (v *Volumes) Fail(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.failures = append(v.failures, err)
}

// Streams is how many streams are open, and Payloads how many payloads are stored.
func (v *Volumes) Streams() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.streams
}

// Headers are the records that were written, in order.
func (v *Volumes) Headers() []*typesv1.RecordHeader {
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []*typesv1.RecordHeader
	for id := uint64(1); id <= v.last; id++ {
		if h := v.headers[id]; h != nil {
			out = append(out, h)
		}
	}
	return out
}

func (v *Volumes) failure() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.failures) == 0 {
		return nil
	}
	err := v.failures[0]
	v.failures = v.failures[1:]
	return err
}

// Expect implements object.Writer.
func (v *Volumes) Expect() (done func()) { return func() {} }

// Pack implements object.Writer.
func (v *Volumes) Pack(
	ctx context.Context, _ erasure.Scheme, h *typesv1.RecordHeader, payload []byte,
) (volume.Placed, error) {
	if err := v.failure(); err != nil {
		return volume.Placed{}, err
	}
	return v.keep(h, slices.Clone(payload)), ctx.Err()
}

func (v *Volumes) keep(h *typesv1.RecordHeader, payload []byte) volume.Placed {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.payloads == nil {
		v.payloads, v.headers = make(map[uint64][]byte), make(map[uint64]*typesv1.RecordHeader)
	}
	v.last++
	v.payloads[v.last], v.headers[v.last] = payload, h
	placed := volume.Placed{Writer: "in memory", Term: 1, OldestTerm: 1}
	if len(payload) > 0 {
		placed.Extents = []*typesv1.Extent{{Volume: v.last, Length: uint64(len(payload)), Run: block.Size}}
	}
	return placed
}

// Stream implements object.Writer.
func (v *Volumes) Stream(_ context.Context, _ erasure.Scheme, h *typesv1.RecordHeader) (object.Stream, error) {
	if err := v.failure(); err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.streams++
	return &stream{volumes: v, header: h}, nil
}

type stream struct {
	volumes *Volumes
	header  *typesv1.RecordHeader
	payload []byte
	ended   bool
}

// Write implements object.Stream.
func (s *stream) Write(p []byte) (int, error) {
	s.payload = append(s.payload, p...)
	return len(p), s.volumes.failure()
}

// ReadFrom reads bytes into where they stay, as a volume's stream does.
func (s *stream) ReadFrom(r io.Reader) (int64, error) {
	const piece = 100_000
	total := int64(0)
	for {
		at := len(s.payload)
		s.payload = slices.Grow(s.payload, piece)
		n, err := r.Read(s.payload[at : at+piece])
		s.payload = s.payload[:at+n]
		total += int64(n)
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err == nil {
			err = s.volumes.failure()
		}
		if err != nil {
			return total, err
		}
	}
}

// Finish implements object.Stream.
func (s *stream) Finish(ctx context.Context, _ *typesv1.Checksum) (volume.Placed, error) {
	defer s.Abort()
	return s.volumes.keep(s.header, s.payload), ctx.Err()
}

// Abort implements object.Stream.
func (s *stream) Abort() {
	if s.ended {
		return
	}
	s.ended = true
	s.volumes.mu.Lock()
	defer s.volumes.mu.Unlock()
	s.volumes.streams--
}

// Read implements object.Reader. As the contract allows, a slice is overwritten as soon as emit has returned.
func (v *Volumes) Read(
	ctx context.Context, extents []*typesv1.Extent, offset, length int64, emit func([]byte) error,
) error {
	var all []byte
	for _, e := range extents {
		v.mu.Lock()
		payload, ok := v.payloads[e.GetVolume()]
		v.mu.Unlock()
		if !ok {
			return fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_VOLUME, "volume %d", e.GetVolume())
		}
		all = append(all, payload...)
	}
	scratch := make([]byte, block.Size)
	for left := all[offset : offset+length]; len(left) > 0; {
		if err := v.failure(); err != nil {
			return err
		}
		n := copy(scratch, left)
		if err := emit(scratch[:n]); err != nil {
			return err
		}
		for i := range n {
			scratch[i] = 0xdb
		}
		left = left[n:]
	}
	return ctx.Err()
}

// ReadExtentList implements object.Reader; nothing here has that many extents.
func (v *Volumes) ReadExtentList(context.Context, *typesv1.Extent) ([]*typesv1.Extent, error) {
	return nil, fault.Bug("no extent lists in memory")
}

// Forget loses what was written.
func (v *Volumes) Forget() {
	v.mu.Lock()
	defer v.mu.Unlock()
	clear(v.payloads)
}
