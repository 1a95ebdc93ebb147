package object

import (
	"context"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// smallBuffers hold a small object at a time: ours, and the transport's.
const smallBuffers = 2

// small gathers the body in one buffer and packs it. A body of unknown size that outgrows the buffer goes on as a
// stream.
func (u *upload) small(ctx context.Context) (Object, error) {
	room := SmallObject
	if u.spec.Size != nil {
		room = int(u.spec.GetSize())
		u.packs = u.svc.writer.Expect()
		defer u.packs()
	}
	held := int64(smallBuffers * block.Footprint(room))
	if err := u.svc.gates.takeMemory(ctx, held); err != nil {
		return Object{}, err
	}
	defer u.svc.gates.memory.Release(held)
	buf := u.svc.buffers.Get(room)
	defer buf.Release()
	n, rest, err := u.gather(buf.Bytes)
	if err != nil {
		return Object{}, err
	}
	if rest != nil {
		return u.stream(ctx, buf.Bytes[:n], rest)
	}
	return u.pack(ctx, buf.Bytes[:n])
}

// gather fills buf from the body. rest is what no longer fitted; nil when the body ended.
func (u *upload) gather(buf []byte) (n int, rest []byte, err error) {
	for {
		p, err := u.next()
		if err != nil {
			return 0, nil, err
		}
		if p == nil {
			return n, nil, u.verify()
		}
		k := copy(buf[n:], p)
		n += k
		if k < len(p) {
			return n, p[k:], nil
		}
	}
}

// pack stores a whole object and commits it. If the bucket was made anew under its name meanwhile, or the writer's
// floor overtook the volume, the same bytes are packed once more: their record names the bucket, and a record is
// never changed.
func (u *upload) pack(ctx context.Context, payload []byte) (Object, error) {
	o, err := u.packOnce(ctx, payload)
	switch {
	case fault.Is(err, typesv1.Reason_REASON_NO_SUCH_BUCKET):
		before := u.bucket.GetId()
		if again := u.open(ctx, true); again != nil {
			return Object{}, again
		}
		if u.bucket.GetId() == before {
			return Object{}, err
		}
	case fault.Is(err, typesv1.Reason_REASON_WRITER_FENCED):
		if again := u.open(ctx, true); again != nil {
			return Object{}, again
		}
	default:
		return o, err
	}
	return u.packOnce(ctx, payload)
}

func (u *upload) packOnce(ctx context.Context, payload []byte) (Object, error) {
	h := u.header()
	h.ObjectSize = uint64(u.sum.size)
	h.Checksum = u.sum.checksum()
	if u.packs != nil {
		u.packs()
	}
	placed, err := u.svc.writer.Pack(ctx, u.scheme, h, payload)
	if err != nil {
		return Object{}, fromVolumes(err)
	}
	return u.commit(ctx, placed)
}
