package rest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// uploadChunk is how much of a body goes into one message: beyond it larger messages gained nothing, measured.
const uploadChunk = 256 << 10

// upload turns the raw body of a PUT into messages: the spec, made of path and headers, without touching the body;
// then the bytes, in two buffers that take turns, since the handler still holds a message while the next is read; then
// a trailer if HTTP trailers brought checksums. It stands in for the request's body.
type upload struct {
	io.ReadCloser
	exchange *exchange
	spec     *apiv1.PutObjectSpec
	pool     *block.Pool

	stage   stage
	left    int64 // bytes of the body to come; -1 when nobody knows
	ended   bool  // the body was read to its end
	turn    int
	buffers [2]*block.Buffer
	// err is why the body could not be read. The gateway may ask while a handler that it gave up still reads.
	err atomic.Pointer[error]
}

func (u *upload) fail(err error) { u.err.Store(&err) }

// failure is why the body could not be read, nil if it could.
func (u *upload) failure() error {
	if err := u.err.Load(); err != nil {
		return *err
	}
	return nil
}

type stage int

const (
	stageSpec stage = iota
	stageData
	stageEnd
)

func newUpload(x *exchange, spec *apiv1.PutObjectSpec, pool *block.Pool) *upload {
	return &upload{
		ReadCloser: x.request.Body, exchange: x, spec: spec, pool: pool, left: x.request.ContentLength,
		ended: x.request.Body == http.NoBody,
	}
}

// Decode implements runtime.Decoder: it fills a PutObjectRequest, io.EOF after the last.
func (u *upload) Decode(v any) error {
	m, ok := v.(*apiv1.PutObjectRequest)
	if !ok {
		return fault.Bug("decode an upload into a %T", v)
	}
	switch u.stage {
	case stageSpec:
		u.stage = stageData
		m.Part = &apiv1.PutObjectRequest_Spec{Spec: u.spec}
		return nil
	case stageData:
		p, err := u.next()
		if err != nil {
			u.fail(err)
			return err
		}
		if len(p) > 0 {
			m.Part = &apiv1.PutObjectRequest_Data{Data: p}
			return nil
		}
		u.stage = stageEnd
		sums, err := trailerChecksums(u.exchange.request.Trailer)
		if err != nil {
			u.fail(err)
			return err
		}
		if len(sums) > 0 {
			m.Part = &apiv1.PutObjectRequest_Trailer{Trailer: &apiv1.PutObjectTrailer{Checksums: sums}}
			return nil
		}
	case stageEnd:
	}
	return io.EOF
}

// next fills the buffer whose turn it is; nothing at the end of the body.
func (u *upload) next() ([]byte, error) {
	if u.ended {
		return nil, nil
	}
	if u.left == 0 {
		return nil, u.finish()
	}
	size := uploadChunk
	if u.left > 0 && u.left < uploadChunk {
		size = int(u.left)
	}
	b := u.buffers[u.turn]
	if b == nil {
		b = u.pool.Get(size)
		u.buffers[u.turn] = b
	}
	u.turn = 1 - u.turn
	n, err := u.fill(b.Bytes[:min(size, len(b.Bytes))])
	if u.left > 0 {
		u.left -= int64(n)
	}
	return b.Bytes[:n], err
}

// source lets a handler in this process read the body itself, while the gateway still waits for it to take the spec: what
// it read does not come in messages any more.
type source struct{ *upload }

// Read implements io.Reader: it fills p unless the body ends before.
func (s source) Read(p []byte) (int, error) {
	u := s.upload
	if u.ended || u.left == 0 || len(p) == 0 {
		return 0, io.EOF
	}
	if u.left > 0 {
		p = p[:min(int64(len(p)), u.left)]
	}
	n, err := u.fill(p)
	if u.left > 0 {
		u.left -= int64(n)
	}
	if err != nil {
		u.fail(err)
	}
	return n, err
}

// finish reads the end that stands behind the last byte: net/http fills the trailers there.
func (u *upload) finish() error {
	var probe [1]byte
	n, err := u.fill(probe[:])
	if err == nil && n > 0 {
		return fault.New(codes.InvalidArgument, typesv1.Reason_REASON_BODY_TOO_LONG, "the body is longer than its length")
	}
	return err
}

// fill reads until p is full or the body ends.
func (u *upload) fill(p []byte) (n int, err error) {
	_ = u.exchange.control.SetReadDeadline(in(stallTimeout)) // Every net.Conn can.
	for n < len(p) && err == nil {
		var k int
		k, err = u.ReadCloser.Read(p[n:])
		n += k
	}
	// Behind the body net/http reads on, to notice a client that leaves: that read has no deadline.
	_ = u.exchange.control.SetReadDeadline(time.Time{})
	u.exchange.received += int64(n)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF):
		u.ended = true
		return n, nil
	}
	return n, explainBody(err)
}

// release gives the buffers back; the handler that was sent them has returned.
func (u *upload) release() {
	for i, b := range u.buffers {
		if b != nil {
			b.Release()
			u.buffers[i] = nil
		}
	}
}

// explainBody says what a body that could not be read means for the client.
func explainBody(err error) error {
	reason, why := typesv1.Reason_REASON_INVALID_ARGUMENT, "the body is malformed"
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		reason, why = typesv1.Reason_REASON_INCOMPLETE_BODY, "the body ended before its length"
	case errors.Is(err, os.ErrDeadlineExceeded):
		reason = typesv1.Reason_REASON_INCOMPLETE_BODY
		why = fmt.Sprintf("less than %d KiB of the body came in %d s", uploadChunk>>10, int(stallTimeout/time.Second))
	}
	return fault.Wrap(err, codes.InvalidArgument, reason, "%s", why)
}
