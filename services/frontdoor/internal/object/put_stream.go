package object

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// streamBuffers is what the transport holds of a stream, in bytes: two messages of 256 KiB over REST. Stripes have the
// writer's own budget.
const streamBuffers = 512 << 10

// stream stores a large object stripe by stripe. head and rest are bytes that were read already; they are counted and
// summed.
func (u *upload) stream(ctx context.Context, head, rest []byte) (Object, error) {
	if err := u.svc.gates.takeMemory(ctx, streamBuffers); err != nil {
		return Object{}, err
	}
	defer u.svc.gates.memory.Release(streamBuffers)
	st, err := u.svc.writer.Stream(ctx, u.scheme, u.header())
	if err != nil {
		return Object{}, fromVolumes(err)
	}
	defer st.Abort()
	for _, p := range [][]byte{head, rest} {
		if err := write(st, p); err != nil {
			return Object{}, err
		}
	}
	if err := u.readInto(st); err != nil {
		return Object{}, err
	}
	if err := u.writeTo(st); err != nil {
		return Object{}, err
	}
	if err := u.verify(); err != nil {
		return Object{}, err
	}
	placed, err := st.Finish(ctx, u.sum.checksum())
	if err != nil {
		return Object{}, fromVolumes(err)
	}
	o, err := u.commit(ctx, placed)
	if fault.Is(err, typesv1.Reason_REASON_WRITER_FENCED) {
		// The bytes are gone through our hands: the client has to send them again.
		return Object{}, fault.Wrap(err, codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE,
			"the upload took longer than its volumes were kept open for it").WithRetryAfter(retryAfter)
	}
	return o, err
}

// readInto has the stream read a body of known length from its source, if both can: the bytes are not copied then.
func (u *upload) readInto(st Stream) error {
	source := u.body.Source()
	into, direct := st.(io.ReaderFrom)
	if source == nil || !direct || u.spec.Size == nil {
		return nil
	}
	counted := &countedSource{upload: u, source: source}
	_, err := into.ReadFrom(counted)
	if counted.err != nil {
		return fmt.Errorf("read the body: %w", counted.err)
	}
	if err != nil {
		return fmt.Errorf("write a stream: %w", fromVolumes(err))
	}
	return nil
}

// countedSource counts and sums what is read of a body, up to the size that was announced.
type countedSource struct {
	upload *upload
	source io.Reader
	// err is why the body could not be read.
	err error
}

// Read implements io.Reader.
func (c *countedSource) Read(p []byte) (int, error) {
	left := c.upload.spec.GetSize() - c.upload.sum.size
	if left <= 0 {
		return 0, io.EOF
	}
	n, err := c.source.Read(p[:min(int64(len(p)), left)])
	c.upload.sum.add(p[:n])
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err //nolint:wrapcheck // as io.Reader does
}

// writeTo writes what the body hands over.
func (u *upload) writeTo(st Stream) error {
	for {
		p, err := u.next()
		if err != nil || p == nil {
			return err
		}
		if err := write(st, p); err != nil {
			return err
		}
	}
}

func write(st Stream, p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if _, err := st.Write(p); err != nil {
		return fmt.Errorf("write a stream: %w", fromVolumes(err))
	}
	return nil
}
