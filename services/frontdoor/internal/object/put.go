package object

import (
	"context"
	"errors"
	"fmt"
	"io"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/datapath/volume"
	"github.com/drystone-store/drystone/services/frontdoor/internal/auth"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// Body hands over an upload's bytes.
type Body interface {
	// Next returns the next bytes, valid until the call after it, and io.EOF behind the last ones. The first call
	// tells the client that its bytes are wanted.
	Next() ([]byte, error)
	// Source is where the bytes can be read without Next, into where they stay; nil if they only come by Next. What is
	// behind its last byte still does.
	Source() io.Reader
	// Trailer returns the checksums that came behind the bytes; it may be called once Next returned io.EOF.
	Trailer() []*typesv1.Checksum
}

// Put stores an object and returns its version. Whatever can be refused without the bytes is refused before the first
// call of body.Next. The bytes are durable before they get their name, and nothing is named unless all of them came
// and have the checksums that were sent.
// Errors: those of api.v1.ObjectService.PutObject.
func (s *Service) Put(ctx context.Context, spec *apiv1.PutObjectSpec, body Body) (Object, error) {
	if err := validateSpec(spec); err != nil {
		return Object{}, err
	}
	cond, err := parseConditions(spec.GetPreconditions())
	if err != nil {
		return Object{}, err
	}
	sum, err := newSummer(spec.GetChecksums())
	if err != nil {
		return Object{}, err
	}
	if err := s.gates.puts.enter(ctx); err != nil {
		return Object{}, err
	}
	defer s.gates.puts.leave()
	u := &upload{svc: s, spec: spec, cond: cond, sum: sum, body: body}
	large := spec.Size != nil && spec.GetSize() > SmallObject
	// The records of a stream name the bucket's id and cannot be written twice, so its row is read afresh.
	if err := u.open(ctx, large); err != nil {
		return Object{}, err
	}
	if err := s.checkEarly(ctx, spec, cond); err != nil {
		return Object{}, err
	}
	if large {
		return u.stream(ctx, nil, nil)
	}
	return u.small(ctx)
}

// checkEarly evaluates conditions before the body, so that a doomed upload costs no bytes. The commit evaluates them
// again, and only that counts.
func (s *Service) checkEarly(ctx context.Context, spec *apiv1.PutObjectSpec, cond conditions) error {
	if !cond.writes() {
		return nil
	}
	if cond.never() {
		return preconditionFailed(Object{})
	}
	resp, err := s.names.Version(ctx, spec.GetBucket(), spec.GetKey(), 0)
	if fault.Is(err, typesv1.Reason_REASON_NO_SUCH_KEY) {
		return cond.checkWrite(Object{}, false)
	}
	if err != nil {
		return err
	}
	return cond.checkWrite(Object{Key: spec.GetKey(), Row: resp.GetRow()}, !resp.GetRow().GetDeleteMarker())
}

// upload is one Put on its way.
type upload struct {
	svc     *Service
	spec    *apiv1.PutObjectSpec
	cond    conditions
	sum     *summer
	body    Body
	bucket  *metadatav1.BucketRow
	scheme  erasure.Scheme
	writeID []byte
	// packs tells the writer that an announced upload is here; nil when it was not announced.
	packs func()
}

// open finds the bucket, checks that the caller may write there and mints the write id.
func (u *upload) open(ctx context.Context, fresh bool) error {
	var err error
	if u.bucket, err = u.svc.authorized(ctx, u.spec.GetBucket(), fresh); err != nil {
		return err
	}
	if u.scheme, err = erasure.Parse(u.bucket.GetScheme()); err != nil {
		return fault.Bug("bucket %d: %w", u.bucket.GetId(), err)
	}
	u.writeID, err = mintWriteID()
	return err
}

// checkLength refuses n more bytes that the spec's size, or the bound, does not allow.
func (u *upload) checkLength(n int) error {
	total := u.sum.size + int64(n)
	if u.spec.Size != nil && total > u.spec.GetSize() {
		return refuse(typesv1.Reason_REASON_BODY_TOO_LONG, "more than the %d bytes came that the size said", u.spec.GetSize())
	}
	if total > MaxSize {
		return refuse(typesv1.Reason_REASON_OBJECT_TOO_LARGE, "the object has more than %d bytes", int64(MaxSize))
	}
	return nil
}

// verify checks length and checksums once the body has ended.
func (u *upload) verify() error {
	if u.spec.Size != nil && u.sum.size != u.spec.GetSize() {
		return refuse(typesv1.Reason_REASON_INCOMPLETE_BODY, "%d bytes came; the size said %d", u.sum.size, u.spec.GetSize())
	}
	return u.sum.verify(u.body.Trailer())
}

// next returns the body's next bytes, counted and summed; nil at its end.
func (u *upload) next() ([]byte, error) {
	p, err := u.body.Next()
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the body: %w", err)
	}
	if err := u.checkLength(len(p)); err != nil {
		return nil, err
	}
	u.sum.add(p)
	if p == nil {
		p = []byte{} // An empty message is not the end.
	}
	return p, nil
}

// header is what the object's records say about it.
func (u *upload) header() *typesv1.RecordHeader {
	return &typesv1.RecordHeader{
		Tenant:       u.bucket.GetTenant(),
		BucketId:     u.bucket.GetId(),
		Bucket:       u.bucket.GetName(),
		Key:          u.spec.GetKey(),
		WriteId:      u.writeID,
		ContentType:  u.spec.GetContentType(),
		UserMetadata: u.spec.GetMetadata(),
		CreatedMs:    clock.UnixMilli(),
		ObjectSize:   uint64(u.spec.GetSize()), // 0 while nobody knows.
	}
}

// commit names the bytes.
func (u *upload) commit(ctx context.Context, placed volume.Placed) (Object, error) {
	row := &metadatav1.VersionRow{
		WriteId:      u.writeID,
		Size:         uint64(u.sum.size),
		Extents:      placed.Extents,
		ExtentList:   placed.ExtentList,
		ContentType:  u.spec.GetContentType(),
		UserMetadata: u.spec.GetMetadata(),
		Checksum:     u.sum.checksum(),
		Tenant:       auth.Tenant(ctx),
		BucketId:     u.bucket.GetId(),
		Writer:       placed.Writer,
		Term:         placed.Term,
	}
	version, err := u.svc.names.Commit(ctx, &metadatav1.Mutation{
		BucketId:   u.bucket.GetId(),
		Bucket:     u.bucket.GetName(),
		Key:        u.spec.GetKey(),
		Row:        row,
		Condition:  u.cond.commit(),
		OldestTerm: placed.OldestTerm,
	})
	if err != nil {
		return Object{}, err
	}
	// The row went to the committer, which may still hold it; the answer gets its own.
	return Object{Key: u.spec.GetKey(), Row: &metadatav1.VersionRow{
		Version: version, Size: row.GetSize(), Checksum: row.GetChecksum(),
		ContentType: row.GetContentType(), UserMetadata: row.GetUserMetadata(),
	}}, nil
}
