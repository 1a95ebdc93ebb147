package rpc

import (
	"fmt"
	"reflect"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/dynamicpb"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
)

func frame(size int) *chunkv1.AppendRequest {
	return &chunkv1.AppendRequest{
		RequestId: 7, Chunk: &chunkv1.ChunkRef{Volume: 1, Disk: "d"}, Row: 4096, Rows: 9, Crcs: []uint32{1, 2, 3},
		GranuleLog2: 16, Data: make([]byte, size),
	}
}

func withUnknown(m proto.Message, raw ...byte) proto.Message {
	m.ProtoReflect().SetUnknown(raw)
	return m
}

func TestHandover(t *testing.T) {
	put := &apiv1.PutObjectRequest{}
	bytesField := put.ProtoReflect().Descriptor().Fields().ByName("data")
	put.ProtoReflect().Set(bytesField, protoreflect.ValueOfBytes([]byte("chunk")))
	for _, tt := range []struct {
		name     string
		src, dst proto.Message
	}{
		{"all kinds of fields", frame(5), &chunkv1.AppendRequest{}},
		{"what was there goes away", &chunkv1.AppendRequest{}, frame(5)},
		{"oneof", put, &apiv1.PutObjectRequest{}},
		{"unknown fields", withUnknown(frame(1), 0xa0, 0x06, 0x01), &chunkv1.AppendRequest{}},
		{"unknown fields go away", frame(1), withUnknown(&chunkv1.AppendRequest{}, 0xa0, 0x06, 0x01)},
		{"to a message without a Go type", frame(5), dynamicpb.NewMessage((&chunkv1.AppendRequest{}).ProtoReflect().Descriptor())},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := proto.Clone(tt.src)
			if err := handover(tt.dst, tt.src); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, tt.dst, protocmp.Transform()); diff != "" {
				t.Errorf("received (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(want, tt.src, protocmp.Transform()); diff != "" {
				t.Errorf("sent (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHandoverAliases(t *testing.T) {
	src, dst := frame(5), &chunkv1.AppendRequest{}
	if err := handover(dst, src); err != nil {
		t.Fatal(err)
	}
	if unsafe.SliceData(dst.GetData()) != unsafe.SliceData(src.GetData()) || dst.GetChunk() != src.GetChunk() {
		t.Error("fields were copied")
	}
}

func TestHandoverRefuses(t *testing.T) {
	for _, tt := range []struct {
		name     string
		dst, src any
	}{
		{"nil source", &chunkv1.AppendRequest{}, nil},
		{"typed nil source", &chunkv1.AppendRequest{}, (*chunkv1.AppendRequest)(nil)},
		{"no message", &struct{ A int }{}, &struct{ A int }{}},
		{"other messages", &chunkv1.AppendRequest{}, &testpb.SimpleRequest{Payload: &testpb.Payload{Body: []byte("x")}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if handover(tt.dst, tt.src) == nil {
				t.Error("accepted")
			}
		})
	}
}

// Every message of the mesh takes the fast way; one that does not would be marshalled in process.
func TestGeneratedMessagesHavePlans(t *testing.T) {
	for _, m := range []proto.Message{
		&chunkv1.AppendRequest{}, &chunkv1.AppendResponse{}, &chunkv1.ReadChunkRequest{}, &chunkv1.ReadChunkResponse{},
		&apiv1.PutObjectRequest{}, &testpb.SimpleRequest{},
	} {
		if p := newPlan(reflect.TypeOf(m).Elem()); !p.ok {
			t.Errorf("%T has no plan", m)
		}
	}
}

// reflected is the way by protoreflect alone, for comparison.
func reflected(dst, src proto.Message) {
	proto.Reset(dst)
	d := dst.ProtoReflect()
	src.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		d.Set(f, v)
		return true
	})
	d.SetUnknown(src.ProtoReflect().GetUnknown())
}

func BenchmarkHandover(b *testing.B) {
	for _, size := range []int{0, 256 << 10} {
		src, dst := frame(size), &chunkv1.AppendRequest{}
		for _, way := range []struct {
			name string
			copy func()
		}{
			{"handover", func() { _ = handover(dst, src) }},
			{"protoreflect", func() { reflected(dst, src) }},
			{"merge", func() { proto.Reset(dst); proto.Merge(dst, src) }},
		} {
			b.Run(fmt.Sprintf("%s/%dKiB", way.name, size>>10), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					way.copy()
				}
			})
		}
	}
}
