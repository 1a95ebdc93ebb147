package rest

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
)

// drawList makes pages of every kind of text, number and time.
func drawList(t *rapid.T) *apiv1.ListObjectsResponse {
	text := rapid.String()
	m := &apiv1.ListObjectsResponse{
		Prefixes:      rapid.SliceOf(text).Draw(t, "prefixes"),
		NextPageToken: text.Draw(t, "token"),
	}
	for range rapid.IntRange(0, 5).Draw(t, "objects") {
		m.Objects = append(m.Objects, &apiv1.Object{
			Key:       text.Draw(t, "key"),
			Size:      rapid.Int64().Draw(t, "size"),
			Etag:      text.Draw(t, "etag"),
			VersionId: text.Draw(t, "version"),
			LastModified: &timestamppb.Timestamp{
				Seconds: rapid.Int64Range(0, 1<<33).Draw(t, "seconds"),
				Nanos:   rapid.SampledFrom([]int32{0, 5e8, 123e6, 123456e3, 123456789}).Draw(t, "nanos"),
			},
			ContentType:       text.Draw(t, "type"),
			Metadata:          rapid.MapOf(text, text).Draw(t, "metadata"),
			ChecksumCrc64Nvme: text.Draw(t, "checksum"),
		})
	}
	return m
}

// What is written by hand is what protojson writes, with lists, token and the objects' own fields also when empty.
func TestListJSONIsProtojsons(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawList(t)
		got := appendList(nil, m)
		parsed := &apiv1.ListObjectsResponse{}
		if err := protojson.Unmarshal(got, parsed); err != nil {
			t.Fatalf("%v in %s", err, got)
		}
		if !proto.Equal(m, parsed) {
			t.Fatalf("%v reads as %v", m, parsed)
		}
		reference, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(generic(t, reference), generic(t, got)); diff != "" {
			t.Fatal(diff)
		}
	})
}

// generic reads JSON, without the fields that a listing leaves out when they are empty.
func generic(t *rapid.T, raw []byte) map[string]any {
	var v map[string]any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	for _, o := range v["objects"].([]any) {
		fields := o.(map[string]any)
		for _, name := range []string{"contentType", "checksumCrc64nvme"} {
			if fields[name] == "" {
				delete(fields, name)
			}
		}
		if meta, ok := fields["metadata"].(map[string]any); ok && len(meta) == 0 {
			delete(fields, "metadata")
		}
	}
	return v
}

func TestEmptyListJSON(t *testing.T) {
	if got := string(appendList(nil, &apiv1.ListObjectsResponse{})); got != `{"objects":[],"prefixes":[],"nextPageToken":""}` {
		t.Fatal(got)
	}
}

// Whatever the bytes of a key, the answer is JSON.
func FuzzListJSON(f *testing.F) {
	f.Add("plain")
	f.Add("\"\\\x00\x1f\x7f\u2028\xff\xed\xa0\x80")
	f.Fuzz(func(t *testing.T, key string) {
		raw := appendList(nil, &apiv1.ListObjectsResponse{Prefixes: []string{key}})
		var v struct{ Prefixes []string }
		if err := json.Unmarshal(raw, &v); err != nil {
			t.Fatalf("%q: %v in %s", key, err, raw)
		}
		quoted, err := json.Marshal(key)
		if err != nil {
			t.Fatal(err)
		}
		var want string
		if err := json.Unmarshal(quoted, &want); err != nil {
			t.Fatal(err)
		}
		if v.Prefixes[0] != want {
			t.Fatalf("%q became %q, not %q", key, v.Prefixes[0], want)
		}
	})
}

func page(n int) *apiv1.ListObjectsResponse {
	m := &apiv1.ListObjectsResponse{NextPageToken: "AQIDBAUGBwgJ"}
	for range n {
		m.Objects = append(m.Objects, &apiv1.Object{
			Key: "photos/2026/11/22/IMG_000123.jpg", Size: 4096, Etag: `"180cd6d63e079c3b1a203e0a8f500200-0"`,
			VersionId: "1a203e0a8f500200", LastModified: &timestamppb.Timestamp{Seconds: 1795361384, Nanos: 693e6},
		})
	}
	return m
}

func BenchmarkListJSON(b *testing.B) {
	const keys = 1000
	m := page(keys)
	b.ReportAllocs()
	for b.Loop() {
		appendList(make([]byte, 0, listSize(m)), m)
	}
	b.ReportMetric(float64(b.N)*keys/b.Elapsed().Seconds(), "keys/s")
}
