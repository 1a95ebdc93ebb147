package rest

import (
	"context"
	"net/http"
	"strconv"

	"google.golang.org/protobuf/proto"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
)

const (
	headerMeta      = "Drystone-Meta-"
	headerVersionID = "Drystone-Version-Id"
	headerCRC64     = "Drystone-Checksum-Crc64nvme"
)

// writeHead is the gateway's hook before it writes a message: answers that are not plain JSON get headers and status
// here.
func writeHead(_ context.Context, w http.ResponseWriter, m proto.Message) error {
	switch m := m.(type) {
	case *apiv1.GetObjectResponse:
		if head := m.GetHead(); head != nil {
			getHead(w, head)
		}
	case *apiv1.StatObjectResponse:
		objectHeaders(w.Header(), m.GetObject())
		w.Header().Set("Content-Length", strconv.FormatInt(m.GetObject().GetSize(), 10))
		w.WriteHeader(http.StatusOK)
	case *apiv1.PutObjectResponse:
		h := w.Header()
		h.Set("ETag", m.GetEtag())
		h.Set(headerVersionID, m.GetVersionId())
		h.Set(headerCRC64, m.GetChecksumCrc64Nvme())
	case *apiv1.DeleteObjectResponse, *apiv1.DeleteBucketResponse:
		w.Header().Del("Content-Type")
		w.WriteHeader(http.StatusNoContent)
	}
	return nil
}

func getHead(w http.ResponseWriter, head *apiv1.GetObjectHead) {
	h := w.Header()
	objectHeaders(h, head.GetObject())
	h.Set("Content-Length", strconv.FormatInt(head.GetLength(), 10))
	status := http.StatusOK
	if head.GetPartial() {
		status = http.StatusPartialContent
		first, last := head.GetOffset(), head.GetOffset()+head.GetLength()-1
		h.Set("Content-Range", "bytes "+strconv.FormatInt(first, 10)+"-"+strconv.FormatInt(last, 10)+
			"/"+strconv.FormatInt(head.GetObject().GetSize(), 10))
	}
	w.WriteHeader(status)
}

// objectHeaders are the same for GET and HEAD.
func objectHeaders(h http.Header, o *apiv1.Object) {
	h.Set("Content-Type", o.GetContentType())
	h.Set("Accept-Ranges", "bytes")
	h.Set("ETag", o.GetEtag())
	h.Set("Last-Modified", o.GetLastModified().AsTime().Format(http.TimeFormat))
	h.Set(headerVersionID, o.GetVersionId())
	if sum := o.GetChecksumCrc64Nvme(); sum != "" {
		h.Set(headerCRC64, sum)
	}
	// An object is never a page of this origin.
	h.Set("X-Content-Type-Options", "nosniff")
	for name, value := range o.GetMetadata() {
		h.Set(headerMeta+name, value)
	}
}

// rewrite is the gateway's hook that says what it writes for a message.
func rewrite(ctx context.Context, m proto.Message) (any, error) {
	switch m := m.(type) {
	case *apiv1.GetObjectResponse:
		out := &exchangeOf(ctx).out
		out.Data = m.GetData() // The gateway writes an HttpBody's data as it is.
		return out, nil
	case *apiv1.StatObjectResponse, *apiv1.DeleteObjectResponse, *apiv1.DeleteBucketResponse:
		return noBody{}, nil
	default:
		return m, nil
	}
}
