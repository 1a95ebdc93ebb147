package names

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/metadata/internal/head"
)

// fillMessage sets fields of a message at random; all of them, when `all` is set.
func fillMessage(t *rapid.T, m protoreflect.Message, all bool) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if !all && rapid.Bool().Draw(t, "skip") {
			continue
		}
		switch {
		case fd.IsMap():
			entries := m.Mutable(fd).Map()
			for k, v := range rapid.MapOfN(rapid.String(), rapid.String(), 1, 3).Draw(t, fd.TextName()) {
				entries.Set(protoreflect.ValueOfString(k).MapKey(), protoreflect.ValueOfString(v))
			}
		case fd.IsList():
			list := m.Mutable(fd).List()
			for range rapid.IntRange(1, 3).Draw(t, fd.TextName()) {
				fillMessage(t, list.AppendMutable().Message(), all)
			}
		case fd.Kind() == protoreflect.MessageKind:
			fillMessage(t, m.Mutable(fd).Message(), all)
		default:
			m.Set(fd, scalar(t, fd))
		}
	}
}

func scalar(t *rapid.T, fd protoreflect.FieldDescriptor) protoreflect.Value {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(rapid.Int32().Draw(t, fd.TextName())))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(rapid.Uint32().Draw(t, fd.TextName()))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(rapid.Uint64().Draw(t, fd.TextName()))
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(rapid.StringN(1, 9, -1).Draw(t, fd.TextName()))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(rapid.SliceOfN(rapid.Byte(), 1, 9).Draw(t, fd.TextName()))
	default:
		t.Fatalf("field %s is of a kind that this test does not know", fd.FullName())
		return protoreflect.Value{}
	}
}

// Whatever is stored, the decoder reads as package proto does, and without its help: a field that is added to a row must
// be added to the decoder.
func TestDecoderMatchesProto(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := newDecoder(3)
		for range 3 {
			full := &metadatav1.VersionRow{}
			fillMessage(t, full.ProtoReflect(), rapid.Bool().Draw(t, "all"))
			bucket := &metadatav1.BucketRow{Tenant: full.GetTenant(), Id: full.GetBucketId()}
			payload, err := proto.Marshal(stored(full, bucket))
			if err != nil {
				t.Fatal(err)
			}
			if !new(decoder).fast(&slot{}, payload) {
				t.Fatalf("not read: %v", full)
			}
			id := head.WriteID{1, 2, 3}
			got, err := d.decode(head.Row{Payload: payload, ID: id, Version: full.GetVersion()})
			if err != nil {
				t.Fatal(err)
			}
			full.WriteId = id[:]
			if diff := cmp.Diff(full, got.GetRow(), protocmp.Transform()); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
		}
	})
}

// On any bytes: what the decoder takes, package proto takes, with the same result.
func FuzzDecoder(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0x18, 0x05, 0x22, 0x02, 0x08, 0x01})
	f.Add([]byte{0x3a, 0x06, 0x0a, 0x01, 'a', 0x12, 0x01, 'b'})
	f.Fuzz(func(t *testing.T, payload []byte) {
		s := &slot{}
		if !new(decoder).fast(s, payload) {
			return
		}
		want := &metadatav1.VersionRow{}
		if err := (proto.UnmarshalOptions{}).Unmarshal(payload, want); err != nil {
			if validText(&s.row) {
				t.Fatalf("%x: proto says %v", payload, err)
			}
			return // proto refuses strings that are no UTF-8; the server never stores them
		}
		if diff := cmp.Diff(want, &s.row, protocmp.Transform()); diff != "" {
			t.Fatalf("%x (-proto +decoder):\n%s", payload, diff)
		}
	})
}

// validText says whether proto could serialize the message again.
func validText(v *metadatav1.VersionRow) bool {
	_, err := proto.Marshal(v)
	return err == nil
}

func BenchmarkDecode(b *testing.B) {
	payload, err := proto.Marshal(&metadatav1.VersionRow{
		Size: 4096, Extents: []*typesv1.Extent{{Volume: 4711, Offset: 123 << 20, Length: 4096, Run: 4096}},
		ContentType: "image/jpeg", UserMetadata: map[string]string{"camera": "x100"},
		Checksum: &typesv1.Checksum{Kind: typesv1.ChecksumKind_CHECKSUM_KIND_CRC64NVME, Value: make([]byte, 8)},
		Tenant:   "acme", BucketId: 1 << 60, Writer: "frontdoor-0", Term: 7,
	})
	if err != nil {
		b.Fatal(err)
	}
	const rows = 1000
	b.Run("decoder", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			d := newDecoder(rows)
			for range rows {
				if _, err := d.decode(head.Row{Payload: payload}); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("proto", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for range rows {
				if err := proto.Unmarshal(payload, &metadatav1.VersionRow{}); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
