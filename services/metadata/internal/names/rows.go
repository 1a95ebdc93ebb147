package names

import (
	"encoding/binary"

	"google.golang.org/protobuf/proto"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/metadata/internal/head"
)

// getBucket reads a bucket's row, nil if there is none.
func getBucket(v head.View, name string) (*metadatav1.BucketRow, error) {
	row, ok := v.Get(head.BucketKey(name))
	if !ok {
		return nil, nil //nolint:nilnil // absence is no error here, and there is no useful zero bucket
	}
	return decodeBucket(row)
}

func decodeBucket(row head.Row) (*metadatav1.BucketRow, error) {
	b := &metadatav1.BucketRow{}
	if err := proto.Unmarshal(row.Payload, b); err != nil {
		return nil, fault.Bug("bucket row %q: %w", row.Key, err)
	}
	return b, nil
}

// encode serializes a row; it cannot fail on the messages of this package but for invalid UTF-8, which the server
// refuses.
func encode(m proto.Message) ([]byte, error) {
	b, err := proto.Marshal(m)
	if err != nil {
		return nil, fault.Bug("encode a row: %w", err)
	}
	return b, nil
}

// stored is a version as it is kept: the write id and the version stand in the row's header, tenant and bucket are the
// bucket row's.
func stored(r *metadatav1.VersionRow, b *metadatav1.BucketRow) *metadatav1.VersionRow {
	return &metadatav1.VersionRow{
		Size: r.GetSize(), Extents: r.GetExtents(), ExtentList: r.GetExtentList(),
		ContentType: r.GetContentType(), UserMetadata: r.GetUserMetadata(), Checksum: r.GetChecksum(), Etag: r.GetEtag(),
		DeleteMarker: r.GetDeleteMarker(), UploadId: r.GetUploadId(), KeyId: r.GetKeyId(),
		Tenant: b.GetTenant(), BucketId: b.GetId(), Writer: r.GetWriter(), Term: r.GetTerm(),
	}
}

// floorOf is a writer's floor, 0 if none was ever raised.
func floorOf(v head.View, writer string) uint64 {
	row, ok := v.Get(head.FloorKey(writer))
	if !ok || len(row.Payload) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(row.Payload)
}

func encodeFloor(floor uint64) []byte { return binary.BigEndian.AppendUint64(nil, floor) }
