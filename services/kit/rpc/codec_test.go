package rpc

import (
	"bytes"
	"testing"
	"unsafe"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
)

func bulkCodec() *codec {
	return newCodec(BulkFields{"drystone.chunk.v1.AppendRequest": 15, "drystone.chunk.v1.ReadChunkResponse": 15})
}

// pieces cuts bytes into buffers as a network delivers them.
func pieces(b []byte, size int) mem.BufferSlice {
	var s mem.BufferSlice
	for len(b) > 0 {
		n := min(size, len(b))
		s = append(s, mem.SliceBuffer(b[:n]))
		b = b[n:]
	}
	return s
}

// What the codec writes, plain protobuf reads, and the other way round.
func TestCodecIsProtobuf(t *testing.T) {
	c := bulkCodec() // one for all: what it remembers must not leak into the next message
	for _, tt := range []struct {
		name string
		msg  *chunkv1.AppendRequest
	}{
		{"empty", &chunkv1.AppendRequest{}},
		{"no data", frame(0)},
		{"little data", frame(copiedBelow - 1)},
		{"data", frame(copiedBelow)},
		{"much data", frame(1 << 20)},
		{"only data", &chunkv1.AppendRequest{Data: make([]byte, 1<<16)}},
		{"unknown fields", withUnknown(frame(1<<16), 0xa0, 0x06, 0x01).(*chunkv1.AppendRequest)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for i := range tt.msg.GetData() {
				tt.msg.Data[i] = byte(i * 7)
			}
			want := proto.Clone(tt.msg)
			encoded, err := c.Marshal(tt.msg)
			if err != nil {
				t.Fatal(err)
			}
			wire := encoded.Materialize()
			encoded.Free()
			if !proto.Equal(want, tt.msg) {
				t.Error("marshalling changed the message")
			}
			plain := &chunkv1.AppendRequest{}
			if err := proto.Unmarshal(wire, plain); err != nil {
				t.Fatal(err)
			}
			if !proto.Equal(want, plain) {
				t.Error("plain protobuf reads something else")
			}
			standard, err := proto.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			for _, size := range []int{1, 7, 1 << 14, 1 << 21} {
				got := &chunkv1.AppendRequest{Row: 99}
				if err := c.Unmarshal(pieces(standard, size), got); err != nil {
					t.Fatal(err)
				}
				if !proto.Equal(want, got) {
					t.Errorf("in pieces of %d it reads something else", size)
				}
			}
		})
	}
}

func TestCodecSendsTheBytesThemselves(t *testing.T) {
	msg := frame(1 << 16)
	encoded, err := bulkCodec().Marshal(msg)
	if err != nil {
		t.Fatal(err)
	}
	defer encoded.Free()
	const headMost = 100
	if encoded.Len() > len(msg.GetData())+headMost {
		t.Errorf("%d bytes for %d of data", encoded.Len(), len(msg.GetData()))
	}
	last := encoded[len(encoded)-1].ReadOnlyData()
	if unsafe.SliceData(last) != unsafe.SliceData(msg.GetData()) {
		t.Error("the data was copied")
	}
}

func TestCodecReceivesIntoALentBuffer(t *testing.T) {
	c := bulkCodec()
	data := bytes.Repeat([]byte("x"), 1<<16)
	wire, err := proto.Marshal(&chunkv1.ReadChunkResponse{Head: 3, Data: data})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		lent   int
		before []byte
		alias  bool
	}{
		{"large enough", 1 << 17, nil, true},
		{"just so", 1 << 16, nil, true},
		{"too small", 1<<16 - 1, nil, false},
		{"none", 0, nil, false},
		{"bytes of an earlier message are not touched", 0, make([]byte, 1<<16), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			buffer := make([]byte, tt.lent)
			resp := &chunkv1.ReadChunkResponse{Data: tt.before}
			if tt.lent > 0 {
				c.lend(resp, buffer)
			}
			if err := c.Unmarshal(pieces(wire, 1000), resp); err != nil {
				t.Fatal(err)
			}
			if resp.GetHead() != 3 || !bytes.Equal(resp.GetData(), data) {
				t.Error("the message differs")
			}
			if got := tt.lent > 0 && unsafe.SliceData(resp.GetData()) == unsafe.SliceData(buffer); got != tt.alias {
				t.Errorf("in the lent buffer: %v, want %v", got, tt.alias)
			}
			if bytes.Contains(tt.before, []byte("x")) {
				t.Error("bytes of an earlier message were overwritten")
			}
		})
	}
}

func TestCodecLeavesOthersAlone(t *testing.T) {
	c := bulkCodec()
	msg := &chunkv1.ReadChunkRequest{Row: 7}
	encoded, err := c.Marshal(msg)
	if err != nil {
		t.Fatal(err)
	}
	got := &chunkv1.ReadChunkRequest{}
	if err := c.Unmarshal(encoded, got); err != nil || got.GetRow() != 7 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := c.Marshal(struct{}{}); err == nil {
		t.Error("no message was marshalled")
	}
}

// A field that is no bytes field is a bug of who configured it, and must not pass for a while.
func TestCodecRefusesWrongFields(t *testing.T) {
	for _, number := range []int32{1, 2, 99} {
		c := newCodec(BulkFields{"drystone.chunk.v1.AppendRequest": protowire.Number(number)})
		if _, err := c.Marshal(frame(1 << 16)); err == nil {
			t.Errorf("field %d was accepted to marshal", number)
		}
		if err := c.Unmarshal(pieces([]byte{0x08, 0x01}, 1), &chunkv1.AppendRequest{}); err == nil {
			t.Errorf("field %d was accepted to unmarshal", number)
		}
	}
}

// Whatever bytes come, in whatever pieces, the codec says what protobuf says.
func FuzzCodec(f *testing.F) {
	for _, m := range []proto.Message{frame(0), frame(10), withUnknown(frame(3), 0xa0, 0x06, 0x01)} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, 3)
	}
	f.Add([]byte{0x7a, 0x01, 'a', 0x7a, 0x02, 'b', 'c'}, 1)      // the field twice
	f.Add([]byte{0x78, 0x01}, 1)                                 // the field as a varint
	f.Add([]byte{0x7a, 0xff, 0xff, 0xff, 0xff, 0x0f}, 2)         // longer than the message
	f.Add([]byte{0x7b, 0x08, 0x01, 0x7c}, 1)                     // a group
	f.Add([]byte{0x02, 0x00}, 1)                                 // field 0
	f.Add([]byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80}, 100) // an endless tag
	f.Fuzz(func(t *testing.T, wire []byte, size int) {
		if size < 1 {
			size = 1
		}
		want, got := &chunkv1.AppendRequest{}, &chunkv1.AppendRequest{}
		wantErr := proto.Unmarshal(wire, want)
		gotErr := bulkCodec().Unmarshal(pieces(wire, size), got)
		if (wantErr == nil) != (gotErr == nil) {
			t.Fatalf("protobuf says %v, the codec %v", wantErr, gotErr)
		}
		if wantErr == nil && !proto.Equal(want, got) {
			t.Fatalf("protobuf reads %v, the codec %v", want, got)
		}
	})
}
