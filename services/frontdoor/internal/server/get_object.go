package server

import (
	"google.golang.org/grpc"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	"github.com/drystone-store/drystone/services/frontdoor/internal/object"
)

// GetObject implements apiv1.ObjectServiceServer.
func (s *objects) GetObject(req *apiv1.GetObjectRequest, stream grpc.ServerStreamingServer[apiv1.GetObjectResponse]) error {
	return s.objects.Get(stream.Context(), req, &sink{stream: stream})
}

// tailSize is how much of a slice is copied, in bytes: little beside a slice of 1 MiB, much beside a message's cost.
const tailSize = 16 << 10

// sink sends an object as messages; it implements object.Sink.
//
// A slice is ours only until Data returns, but a receiver in this process refers to a message until it asks for the
// next one. So the end of each slice goes out as a message of its own, from a buffer of ours: once that was taken,
// nobody refers to the slice any more.
type sink struct {
	stream grpc.ServerStreamingServer[apiv1.GetObjectResponse]
	tails  [2][]byte // take turns
	turn   int
}

// Head implements object.Sink.
func (s *sink) Head(h object.Head) error {
	return s.stream.Send(&apiv1.GetObjectResponse{Part: &apiv1.GetObjectResponse_Head{Head: &apiv1.GetObjectHead{
		Object:  toObject(h.Object),
		Offset:  h.Offset,
		Length:  h.Length,
		Partial: h.Partial,
	}}})
}

// Data implements object.Sink.
func (s *sink) Data(p []byte) error {
	cut := max(0, len(p)-tailSize)
	for at := 0; at < cut; at += maxData {
		if err := s.send(p[at:min(at+maxData, cut)]); err != nil {
			return err
		}
	}
	tail := &s.tails[s.turn]
	s.turn = 1 - s.turn
	*tail = append((*tail)[:0], p[cut:]...)
	return s.send(*tail)
}

func (s *sink) send(p []byte) error {
	return s.stream.Send(&apiv1.GetObjectResponse{Part: &apiv1.GetObjectResponse_Data{Data: p}})
}
