package object

import (
	"context"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/datapath/volume"
	"github.com/drystone-store/drystone/services/frontdoor/internal/auth"
)

// Names is the metadata service as this package uses it.
type Names interface {
	// Bucket returns a bucket's row, from a short-lived cache unless fresh. Errors: NO_SUCH_BUCKET.
	Bucket(ctx context.Context, name string, fresh bool) (*metadatav1.BucketRow, error)
	// Version returns a version of a key, the current one for 0.
	// Errors: NO_SUCH_BUCKET, NO_SUCH_KEY, NO_SUCH_VERSION.
	Version(ctx context.Context, bucket, key string, version uint64) (*metadatav1.GetVersionResponse, error)
	// List returns a page of current versions. Errors: NO_SUCH_BUCKET.
	List(ctx context.Context, req *metadatav1.ListVersionsRequest) (*metadatav1.ListVersionsResponse, error)
	// Commit applies a mutation and returns the version that it minted. OUTCOME_UNKNOWN is the only error after
	// which the mutation may have been applied.
	Commit(ctx context.Context, m *metadatav1.Mutation) (version uint64, err error)
}

// Writer makes bytes durable.
type Writer interface {
	// Expect announces an upload that will Pack, from its admission on; done is called right before Pack, or when it
	// will not come. Batches wait a moment for what is announced.
	Expect() (done func())
	// Pack stores a small object beside others and returns once it is durable. The payload is not read once it returns,
	// whatever it returns.
	Pack(ctx context.Context, scheme erasure.Scheme, h *typesv1.RecordHeader, payload []byte) (volume.Placed, error)
	// Stream begins a large object.
	Stream(ctx context.Context, scheme erasure.Scheme, h *typesv1.RecordHeader) (Stream, error)
}

// Stream is a large object on its way into volumes. It ends with Finish or Abort; Abort after Finish does nothing.
type Stream interface {
	// Write takes the next bytes and keeps no reference to them.
	Write(p []byte) (int, error)
	// Finish makes everything durable and returns where it lies.
	Finish(ctx context.Context, sum *typesv1.Checksum) (volume.Placed, error)
	// Abort drops what was written.
	Abort()
}

// Reader brings bytes back.
type Reader interface {
	// Read emits the bytes [offset, offset+length) of what the extents hold, in order.
	Read(ctx context.Context, extents []*typesv1.Extent, offset, length int64, emit func([]byte) error) error
	// ReadExtentList reads the record that lists the extents of an object with many.
	ReadExtentList(ctx context.Context, at *typesv1.Extent) ([]*typesv1.Extent, error)
}

// Deps is what a Service works with.
type Deps struct {
	Names  Names
	Writer Writer
	Reader Reader
	Gates  *Gates
}

// Service stores, reads, describes, removes and lists objects.
type Service struct {
	names   Names
	writer  Writer
	reader  Reader
	gates   *Gates
	buffers block.Pool
}

// New makes a Service.
func New(d Deps) *Service {
	return &Service{names: d.Names, writer: d.Writer, reader: d.Reader, gates: d.Gates}
}

// authorized returns the row of a bucket that the caller owns. Errors: NO_SUCH_BUCKET, ACCESS_DENIED.
func (s *Service) authorized(ctx context.Context, name string, fresh bool) (*metadatav1.BucketRow, error) {
	row, err := s.names.Bucket(ctx, name, fresh)
	if err != nil {
		return nil, err
	}
	return row, auth.Owns(ctx, row.GetTenant())
}
