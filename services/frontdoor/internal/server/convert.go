package server

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	"github.com/drystone-store/drystone/services/frontdoor/internal/object"
)

func toBucket(row *metadatav1.BucketRow) *apiv1.Bucket {
	return &apiv1.Bucket{
		Name:       row.GetName(),
		Scheme:     row.GetScheme(),
		CreateTime: timestamppb.New(time.UnixMilli(row.GetCreatedMs())),
	}
}

func toObject(o object.Object) *apiv1.Object {
	return &apiv1.Object{
		Key:               o.Key,
		Size:              o.Size(),
		Etag:              o.ETag(),
		VersionId:         o.VersionID(),
		LastModified:      timestamppb.New(o.Modified()),
		ContentType:       o.ContentType(),
		Metadata:          o.Row.GetUserMetadata(),
		ChecksumCrc64Nvme: o.Checksum(),
	}
}

// toListed converts a page of a listing. All objects and all times come from one allocation each: a page has a
// thousand of them.
func toListed(versions []*metadatav1.ListedVersion, metadata bool) []*apiv1.Object {
	objects := make([]apiv1.Object, len(versions))
	times := make([]timestamppb.Timestamp, len(versions))
	listed := make([]*apiv1.Object, len(versions))
	for i, v := range versions {
		o := object.Object{Key: v.GetKey(), Row: v.GetRow()}
		modified := o.Modified()
		times[i].Seconds, times[i].Nanos = modified.Unix(), int32(modified.Nanosecond())
		out := &objects[i]
		out.Key = o.Key
		out.Size = o.Size()
		out.Etag = o.ETag()
		out.VersionId = o.VersionID()
		out.LastModified = &times[i]
		if metadata {
			out.ContentType = o.ContentType()
			out.Metadata = o.Row.GetUserMetadata()
		}
		listed[i] = out
	}
	return listed
}
