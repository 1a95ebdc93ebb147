package volume

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// maxExtentList bounds the payload of an extent list, in bytes: an object of 5 TiB in volumes of 1 GiB has about 15,000
// extents of at most 30 bytes.
const maxExtentList = 4 << 20

// ReadExtentList reads the list that an EXTENTS record's payload holds, by the payload's extent. Errors: those of Read;
// TOO_MUCH_LOST if the payload is no list, which its checksums make as good as impossible.
func (r *Reader) ReadExtentList(ctx context.Context, at *typesv1.Extent) ([]*typesv1.Extent, error) {
	if at.GetLength() > maxExtentList {
		return nil, fault.Bug("an extent list of %d bytes at %v", at.GetLength(), at)
	}
	payload := make([]byte, 0, at.GetLength())
	err := r.Read(ctx, []*typesv1.Extent{at}, 0, int64(at.GetLength()), func(b []byte) error {
		payload = append(payload, b...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading an extent list: %w", err)
	}
	list := &typesv1.ExtentList{}
	if err := proto.Unmarshal(payload, list); err != nil {
		return nil, fault.Wrap(err, codes.DataLoss, typesv1.Reason_REASON_TOO_MUCH_LOST,
			"volume %#x: the payload at %d is no extent list", at.GetVolume(), at.GetOffset())
	}
	return list.GetExtents(), nil
}
