package server

import (
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/rpc"
)

// maxData is the most that one message may carry, in bytes: what is in a message is in memory.
const maxData = 1 << 20

// PutObject implements apiv1.ObjectServiceServer. It asks for a second message only once everything that can be
// refused without the bytes has been checked, so a client that waits for that sends no body in vain.
func (s *objects) PutObject(stream grpc.ClientStreamingServer[apiv1.PutObjectRequest, apiv1.PutObjectResponse]) error {
	first, err := stream.Recv()
	if errors.Is(err, io.EOF) {
		return malformed("the stream ended before the spec")
	}
	if err != nil {
		return err
	}
	spec := first.GetSpec()
	if spec == nil {
		return malformed("the first message is the spec")
	}
	o, err := s.objects.Put(stream.Context(), spec, &body{stream: stream})
	if err != nil {
		return err
	}
	return stream.SendAndClose(&apiv1.PutObjectResponse{
		Key:               o.Key,
		Size:              o.Size(),
		Etag:              o.ETag(),
		VersionId:         o.VersionID(),
		LastModified:      timestamppb.New(o.Modified()),
		ChecksumCrc64Nvme: o.Checksum(),
	})
}

// body reads an upload from a stream of messages; it implements object.Body.
type body struct {
	stream  grpc.ClientStreamingServer[apiv1.PutObjectRequest, apiv1.PutObjectResponse]
	trailer *apiv1.PutObjectTrailer
}

// Next implements object.Body.
func (b *body) Next() ([]byte, error) {
	for {
		m, err := b.stream.Recv()
		if err != nil {
			return nil, err
		}
		if b.trailer != nil {
			return nil, malformed("a message came behind the trailer")
		}
		switch part := m.GetPart().(type) {
		case *apiv1.PutObjectRequest_Data:
			if len(part.Data) > maxData {
				return nil, malformed("a message carries more than 1 MiB")
			}
			return part.Data, nil
		case *apiv1.PutObjectRequest_Trailer:
			b.trailer = part.Trailer
		default:
			return nil, malformed("behind the spec come data and at most one trailer")
		}
	}
}

// Source implements object.Body: REST in this process has the bytes at hand.
func (b *body) Source() io.Reader { return rpc.Source(b.stream.Context()) }

// Trailer implements object.Body.
func (b *body) Trailer() []*typesv1.Checksum { return b.trailer.GetChecksums() }

func malformed(why string) error {
	return fault.New(codes.InvalidArgument, typesv1.Reason_REASON_INVALID_ARGUMENT, "upload: %s", why)
}
