package names

import (
	"context"

	"google.golang.org/grpc/codes"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/metadata/internal/head"
)

// Found is a version with its bucket, both of one revision.
type Found struct {
	Bucket   *metadatav1.BucketRow
	Row      *metadatav1.VersionRow
	Revision int64
}

// GetVersion reads a version of a key, the current one for version 0. Errors: NO_SUCH_BUCKET, NO_SUCH_KEY,
// NO_SUCH_VERSION (only current versions are kept yet), and the index's.
func (n *Names) GetVersion(ctx context.Context, bucket, key string, version uint64) (Found, error) {
	var f Found
	var row head.Row
	err := n.index.Read(ctx, func(v head.View) error {
		b, err := mustGetBucket(v, bucket)
		if err != nil {
			return err
		}
		var ok bool
		row, ok = v.Get(head.VersionKey(b.GetId(), key))
		f = Found{Bucket: b, Revision: v.Revision()}
		return checkVersion(row, ok && !row.Dead, version)
	})
	if err != nil {
		return Found{}, err
	}
	f.Row, err = decodeVersion(row)
	return f, err
}

// checkVersion says whether the current row is the version asked for.
func checkVersion(row head.Row, live bool, version uint64) error {
	switch {
	case live && (version == 0 || version == row.Version):
		return nil
	case version == 0:
		return fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_KEY, "the object does not exist")
	default:
		return fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_VERSION, "the object has no version %016x", version)
	}
}
