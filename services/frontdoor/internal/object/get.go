package object

import (
	"context"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/frontdoor/internal/auth"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// Head describes what a Get is about to send.
type Head struct {
	Object Object
	// Offset of the first byte that follows, and how many follow.
	Offset, Length int64
	// Partial: a range was asked for and applies.
	Partial bool
}

// Sink takes the answer of a Get: the head once, then the bytes.
type Sink interface {
	Head(h Head) error
	Data(p []byte) error
}

// Get reads an object or a range of it. The head goes out with the first bytes, so that an object that cannot be read
// at all is an error and no broken answer.
// Errors: those of api.v1.ObjectService.GetObject.
func (s *Service) Get(ctx context.Context, req *apiv1.GetObjectRequest, sink Sink) error {
	if err := s.gates.gets.enter(ctx); err != nil {
		return err
	}
	defer s.gates.gets.leave()
	cond, err := parseConditions(req.GetPreconditions())
	if err != nil {
		return err
	}
	o, err := s.find(ctx, req.GetBucket(), req.GetKey(), req.GetVersionId())
	if err != nil {
		return err
	}
	if err := cond.checkRead(o); err != nil {
		return err
	}
	part := span{length: o.Size()}
	if req.GetRange() != "" && rangeApplies(req.GetIfRange(), o) {
		if part, err = resolveRange(req.GetRange(), o.Size()); err != nil {
			return err
		}
	}
	d := &delivery{sink: sink, head: Head{Object: o, Offset: part.offset, Length: part.length, Partial: part.partial}}
	if part.length == 0 {
		return sink.Head(d.head)
	}
	return s.deliver(ctx, req, o, d)
}

// deliver reads and sends. When a volume went away between the row and the read, the same version has other extents by
// now: it is looked up once more, and the read goes on where it stood.
func (s *Service) deliver(ctx context.Context, req *apiv1.GetObjectRequest, o Object, d *delivery) error {
	err := s.read(ctx, o.Row, d)
	if !fault.Is(err, typesv1.Reason_REASON_NO_SUCH_VOLUME) {
		return fromVolumes(err)
	}
	again, lookup := s.find(ctx, req.GetBucket(), req.GetKey(), o.VersionID())
	if lookup != nil {
		return lookup
	}
	return fromVolumes(s.read(ctx, again.Row, d))
}

func (s *Service) read(ctx context.Context, row *metadatav1.VersionRow, d *delivery) error {
	extents := row.GetExtents()
	if at := row.GetExtentList(); at != nil {
		var err error
		if extents, err = s.reader.ReadExtentList(ctx, at); err != nil {
			return err
		}
	}
	if err := s.reader.Read(ctx, extents, d.head.Offset+d.sent, d.head.Length-d.sent, d.emit); err != nil {
		return err
	}
	if d.sent != d.head.Length {
		return fault.Bug("read %d of %d bytes without an error", d.sent, d.head.Length)
	}
	return nil
}

// delivery counts what went out, for going on after an interruption.
type delivery struct {
	sink    Sink
	head    Head
	started bool
	sent    int64
}

func (d *delivery) emit(p []byte) error {
	if !d.started {
		d.started = true
		if err := d.sink.Head(d.head); err != nil {
			return err
		}
	}
	if err := d.sink.Data(p); err != nil {
		return err
	}
	d.sent += int64(len(p))
	return nil
}

// find returns a version of a key in a bucket of the caller's.
// Errors: NO_SUCH_BUCKET, ACCESS_DENIED, NO_SUCH_KEY, NO_SUCH_VERSION; those of a malformed key or version id.
func (s *Service) find(ctx context.Context, bucket, key, versionID string) (Object, error) {
	if err := validateKey(key); err != nil {
		return Object{}, err
	}
	version, err := parseVersionID(versionID)
	if err != nil {
		return Object{}, err
	}
	// Before anything is told about the key; the row that comes with the version counts if the cached one is old.
	if _, err := s.authorized(ctx, bucket, false); err != nil {
		return Object{}, err
	}
	resp, err := s.names.Version(ctx, bucket, key, version)
	if err != nil {
		return Object{}, err
	}
	if err := auth.Owns(ctx, resp.GetBucket().GetTenant()); err != nil {
		return Object{}, err
	}
	if resp.GetRow().GetDeleteMarker() {
		return Object{}, noSuchKey()
	}
	return Object{Key: key, Row: resp.GetRow()}, nil
}
