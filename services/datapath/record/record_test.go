package record_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/record"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// full has every field set.
func full() *typesv1.RecordHeader {
	return &typesv1.RecordHeader{
		Kind:         typesv1.RecordKind_RECORD_KIND_TAIL,
		ClusterId:    "c0ffee",
		Tenant:       "acme",
		BucketId:     77,
		Bucket:       "photos",
		Key:          "2026/summer/ä.jpg",
		WriteId:      []byte("0123456789abcdef"),
		Fragment:     3,
		ObjectOffset: 15 << 20,
		ObjectSize:   15<<20 + 42,
		Checksum:     &typesv1.Checksum{Kind: typesv1.ChecksumKind_CHECKSUM_KIND_CRC64NVME, Value: []byte{1, 2, 3, 4, 5, 6, 7, 8}},
		ContentType:  "image/jpeg",
		UserMetadata: map[string]string{"b": "2", "a": "1", "c": "3"},
		Extents:      []*typesv1.Extent{{Volume: 5, Offset: 300, Length: 15 << 20, Run: 1 << 20}},
		CreatedMs:    1_795_000_000_000,
		UploadId:     []byte("upload"),
		KeyId:        "key-1",
	}
}

func frame(tb testing.TB, h *typesv1.RecordHeader, payload uint64, run uint32) []byte {
	tb.Helper()
	b, err := record.Append(nil, h, payload, run)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// TestGolden pins the framing: what is on disk has to stay readable.
func TestGolden(t *testing.T) {
	const path = "testdata/header-v1.golden"
	got := frame(t, full(), 42, 9)
	if *update {
		if err := os.WriteFile(path, []byte(hex.Dump(got)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), hex.Dump(got)); diff != "" {
		t.Fatalf("the framing changed (-want +got):\n%s", diff)
	}
	parsed, err := record.Parse(got)
	if err != nil {
		t.Fatal(err)
	}
	wanted := record.Record{Header: full(), Size: len(got), Payload: 42, Run: 9}
	if diff := cmp.Diff(wanted, parsed, protocmp.Transform()); diff != "" {
		t.Fatalf("parsed (-want +got):\n%s", diff)
	}
}

func TestAppendRefuses(t *testing.T) {
	h := full()
	cases := map[string]struct {
		header  *typesv1.RecordHeader
		payload uint64
		run     uint32
	}{
		"no header":           {nil, 1, 1},
		"no kind":             {&typesv1.RecordHeader{}, 1, 1},
		"kind over a byte":    {&typesv1.RecordHeader{Kind: 256}, 1, 1},
		"negative kind":       {&typesv1.RecordHeader{Kind: -1}, 1, 1},
		"no run":              {h, 1, 0},
		"run over a block":    {h, 1, 1<<20 + 1},
		"payload over stripe": {h, record.MaxPayload + 1, 1},
		"header too long":     {&typesv1.RecordHeader{Kind: 1, ContentType: strings.Repeat("x", record.MaxHeader)}, 1, 1},
		"text is not UTF-8":   {&typesv1.RecordHeader{Kind: 1, Key: "\xff"}, 1, 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			before := []byte("before")
			got, err := record.Append(before, c.header, c.payload, c.run)
			if err == nil || !bytes.Equal(got, before) {
				t.Fatalf("Append = %q, %v", got, err)
			}
		})
	}
}

// reseal makes a changed header's checksum right again, so that the checks behind it are reached.
func reseal(b []byte) []byte {
	table := crc32.MakeTable(crc32.Castagnoli)
	binary.LittleEndian.PutUint32(b[24:], crc32.Update(crc32.Checksum(b[:24], table), table, b[record.FixedSize:]))
	return b
}

func TestParseRefuses(t *testing.T) {
	valid := frame(t, full(), 42, 9)
	change := func(f func(b []byte)) []byte {
		b := bytes.Clone(valid)
		f(b)
		return reseal(b)
	}
	cases := map[string]struct {
		in   []byte
		want error
	}{
		"nothing":                {nil, record.ErrNone},
		"zeros":                  {make([]byte, 100), record.ErrNone},
		"zero, then garbage":     {[]byte("\x00DRYR"), record.ErrNone},
		"no magic":               {bytes.Repeat([]byte("x"), 100), record.ErrCorrupt},
		"a byte of no magic":     {[]byte("x"), record.ErrCorrupt},
		"a byte of magic":        {[]byte("D"), record.ErrShort},
		"fixed part cut":         {valid[:record.FixedSize-1], record.ErrShort},
		"message cut":            {valid[:len(valid)-1], record.ErrShort},
		"version 2":              {change(func(b []byte) { b[4] = 2 }), record.ErrCorrupt},
		"kinds differ":           {change(func(b []byte) { b[5]++ }), record.ErrCorrupt},
		"reserved set":           {change(func(b []byte) { b[6] = 1 }), record.ErrCorrupt},
		"reserved set, high":     {change(func(b []byte) { b[7] = 1 }), record.ErrCorrupt},
		"header length huge":     {change(func(b []byte) { binary.LittleEndian.PutUint32(b[8:], 1<<32-1) }), record.ErrCorrupt},
		"header length over max": {change(func(b []byte) { binary.LittleEndian.PutUint32(b[8:], record.MaxHeader-record.FixedSize+1) }), record.ErrCorrupt},
		"payload huge":           {change(func(b []byte) { binary.LittleEndian.PutUint64(b[12:], 1<<63) }), record.ErrCorrupt},
		"run zero":               {change(func(b []byte) { binary.LittleEndian.PutUint32(b[20:], 0) }), record.ErrCorrupt},
		"run huge":               {change(func(b []byte) { binary.LittleEndian.PutUint32(b[20:], 1<<20+1) }), record.ErrCorrupt},
		"message is no protobuf": {change(func(b []byte) { b[record.FixedSize] = 0xff }), record.ErrCorrupt},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := record.Parse(c.in); !errors.Is(err, c.want) {
				t.Fatalf("Parse: %v, want %v", err, c.want)
			}
		})
	}
}

// TestParseSeesEveryFlippedBit: nothing in a header can change unseen.
func TestParseSeesEveryFlippedBit(t *testing.T) {
	valid := frame(t, full(), 42, 9)
	for bit := range len(valid) * 8 {
		b := bytes.Clone(valid)
		b[bit/8] ^= 1 << (bit % 8)
		if _, err := record.Parse(b); err == nil {
			t.Fatalf("bit %d flipped and nothing noticed", bit)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &typesv1.RecordHeader{
			Kind:         typesv1.RecordKind(rapid.IntRange(1, 255).Draw(t, "kind")),
			Key:          rapid.StringN(0, 100, 1024).Draw(t, "key"),
			WriteId:      rapid.SliceOfN(rapid.Byte(), 1, 16).Draw(t, "write id"),
			ObjectOffset: rapid.Uint64().Draw(t, "offset"),
			UserMetadata: rapid.MapOfN(rapid.StringN(1, 10, 20), rapid.StringN(0, 10, 20), 1, 9).Draw(t, "metadata"),
		}
		payload := rapid.Uint64Max(record.MaxPayload).Draw(t, "payload")
		run := rapid.Uint32Range(1, 1<<20).Draw(t, "run")
		b, err := record.Append([]byte("xyz"), h, payload, run)
		if err != nil {
			t.Fatal(err)
		}
		again, err := record.Append(nil, h, payload, run)
		if err != nil || !bytes.Equal(b[3:], again) {
			t.Fatalf("two framings of one header differ (%v)", err)
		}
		if size := record.Size(h); size != len(again) {
			t.Fatalf("Size = %d, framed %d", size, len(again))
		}
		got, err := record.Parse(append(b[3:], "payload"...))
		if err != nil {
			t.Fatal(err)
		}
		want := record.Record{Header: h, Size: len(again), Payload: payload, Run: run}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

func FuzzParse(f *testing.F) {
	valid, err := record.Append(nil, full(), 42, 9)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(valid)
	f.Add(valid[:record.FixedSize])
	f.Add([]byte("DRYR\x01\x01\x00\x00\xff\xff\xff\xff"))
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, in := range [][]byte{b, resealed(b)} {
			r, err := record.Parse(in)
			if err != nil {
				if !errors.Is(err, record.ErrNone) && !errors.Is(err, record.ErrShort) && !errors.Is(err, record.ErrCorrupt) {
					t.Fatalf("unknown error %v", err)
				}
				continue
			}
			if r.Size > len(in) || r.Size > record.MaxHeader || r.Run == 0 || r.Run > 1<<20 || r.Payload > record.MaxPayload || r.Header.GetKind() == 0 {
				t.Fatalf("out of bounds: %+v", r)
			}
		}
	})
}

// resealed gives foreign bytes a valid checksum when their length field allows it.
func resealed(b []byte) []byte {
	size, err := record.Length(b)
	if err != nil || size > len(b) {
		return nil
	}
	return reseal(bytes.Clone(b[:size]))
}

func ExampleAppend() {
	h := &typesv1.RecordHeader{Kind: typesv1.RecordKind_RECORD_KIND_OBJECT, Bucket: "photos", Key: "cat.jpg"}
	framed, err := record.Append(nil, h, 4096, 4096)
	if err != nil {
		panic(err)
	}
	r, err := record.Parse(framed)
	fmt.Println(r.Header.GetKey(), r.Payload, r.Run, len(framed), err)
	// Output: cat.jpg 4096 4096 47 <nil>
}
