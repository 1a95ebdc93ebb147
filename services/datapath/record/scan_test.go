package record_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/datapath/record"
)

// columns are the data columns of one frame.
type columns struct {
	frame record.Frame
	data  [][]byte
}

func (c columns) read(column int, row uint64, dst []byte) error {
	at := int(row - c.frame.Row)
	if at < 0 || at+len(dst) > c.frame.Rows {
		return fmt.Errorf("rows [%d,%d) are not in the frame", at, at+len(dst))
	}
	clear(dst[copy(dst, c.data[column][min(at, len(c.data[column])):]):])
	return nil
}

func (c columns) payload(e *typesv1.Extent) []byte {
	var out []byte
	for p := range block.Pieces(e, c.frame.K, 0, e.GetLength()) {
		dst := make([]byte, p.Length)
		if err := c.read(p.Column, p.Row, dst); err != nil {
			panic(err)
		}
		out = append(out, dst...)
	}
	return out
}

// scan returns the keys that were found, in order, and the errors.
func (c columns) scan() (found []record.Found, errs []error) {
	for f, err := range record.Scan(c.frame, c.read) {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		found = append(found, f)
	}
	return found, errs
}

func object(key string, headerPadding int) *typesv1.RecordHeader {
	return &typesv1.RecordHeader{Kind: typesv1.RecordKind_RECORD_KIND_OBJECT, Key: key, ContentType: strings.Repeat("c", headerPadding)}
}

// pack builds the frame that a writer would.
func pack(t fataler, k int, row uint64, headers []*typesv1.RecordHeader, payloads [][]byte) columns {
	t.Helper()
	items := make([]block.Item, len(headers))
	for i := range items {
		items[i] = block.Item{Header: record.Size(headers[i]), Payload: len(payloads[i])}
	}
	layout, ok := block.Pack(k, block.Room(row), items)
	if !ok {
		t.Fatalf("%d records do not fit", len(items))
	}
	code, err := erasure.NewCode(erasure.Scheme{K: k, M: 1})
	if err != nil {
		t.Fatalf("%v", err)
	}
	f := block.NewFrame(new(block.Pool), code, row, layout.Rows)
	defer f.Release()
	for _, i := range layout.Order {
		s := layout.Slots[i]
		framed, err := record.Append(nil, headers[i], uint64(len(payloads[i])), uint32(s.Run))
		if err != nil {
			t.Fatalf("%v", err)
		}
		s.Fill(f, framed, payloads[i])
	}
	if err := f.Encode(13); err != nil {
		t.Fatalf("%v", err)
	}
	c := columns{frame: record.Frame{Volume: 3, K: k, Row: row, Rows: layout.Rows}}
	for i := range k {
		c.data = append(c.data, bytes.Clone(f.Request(i, nil, block.Append{}).GetData()))
	}
	return c
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// imitation is a payload that is full of valid records.
func imitation(tb testing.TB, size int) []byte {
	tb.Helper()
	one := frame(tb, object("imitated", 0), 10, 10)
	return bytes.Repeat(one, size/len(one)+1)[:size]
}

// TestScanFindsWhatWasPacked: every record of any batch is found once, with its payload, and nothing else is, even
// when payloads imitate records.
func TestScanFindsWhatWasPacked(t *testing.T) {
	imitated := imitation(t, 300<<10)
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.IntRange(1, 9).Draw(t, "k")
		row := uint64(rapid.IntRange(0, 3*block.Size).Draw(t, "row"))
		gauge := block.NewGauge(k, block.Room(row))
		var headers []*typesv1.RecordHeader
		var payloads [][]byte
		want := map[string][]byte{}
		for i := range rapid.IntRange(1, 20).Draw(t, "records") {
			h := object(strconv.Itoa(i), rapid.SampledFrom([]int{0, 10, 5000}).Draw(t, "padding"))
			size := rapid.SampledFrom([]int{0, 1, 100, 5000, 64 << 10, 64<<10 + 1, 256 << 10}).Draw(t, "size")
			payload := imitated[rapid.IntRange(0, 100).Draw(t, "phase"):][:size]
			if gauge.Add(block.Item{Header: record.Size(h), Payload: size}) {
				headers, payloads, want[h.GetKey()] = append(headers, h), append(payloads, payload), payload
			}
		}
		c := pack(t, k, row, headers, payloads)
		found, errs := c.scan()
		if len(errs) > 0 {
			t.Fatalf("errors: %v", errs)
		}
		for _, f := range found {
			payload, ok := want[f.Header.GetKey()]
			if !ok || !bytes.Equal(c.payload(f.Extent), payload) || f.Row+uint64(f.Size) != block.Locate(f.Extent.GetOffset(), k).Row && f.Payload > 0 {
				t.Fatalf("record %q at column %d row %d: expected %v, or its payload differs", f.Header.GetKey(), f.Column, f.Row, ok)
			}
			delete(want, f.Header.GetKey())
		}
		if len(want) > 0 {
			t.Fatalf("%d records were not found", len(want))
		}
	})
}

func TestScanOfStreamFrames(t *testing.T) {
	const k = 3
	payload := imitation(t, 2000)
	h := &typesv1.RecordHeader{Kind: typesv1.RecordKind_RECORD_KIND_TAIL, Key: "tail"}
	for _, size := range []int{0, 1, 2, 3, 2000} {
		span, ok := block.Tail(k, 500, record.Size(h), size)
		if !ok {
			t.Fatal("no room")
		}
		code, err := erasure.NewCode(erasure.Scheme{K: k, M: 1})
		if err != nil {
			t.Fatal(err)
		}
		f := block.NewFrame(new(block.Pool), code, span.Row, span.Rows)
		span.FillHeader(f, frame(t, h, uint64(size), uint32(span.Run)))
		span.Fill(f, 0, payload[:size])
		if err := f.Encode(16); err != nil {
			t.Fatal(err)
		}
		c := columns{frame: record.Frame{K: k, Row: span.Row, Rows: span.Rows}}
		for i := range k {
			c.data = append(c.data, f.Request(i, nil, block.Append{}).GetData())
		}
		found, errs := c.scan()
		if len(errs) != 0 || len(found) != 1 || !bytes.Equal(c.payload(found[0].Extent), payload[:size]) {
			t.Errorf("tail of %d bytes: found %d, errors %v", size, len(found), errs)
		}
		f.Release()
	}
}

// TestScanPastDamage: a damaged header hides what stands below it in its column and nothing else.
func TestScanPastDamage(t *testing.T) {
	var headers []*typesv1.RecordHeader
	var payloads [][]byte
	for i := range 6 {
		headers = append(headers, object(strconv.Itoa(i), 0))
		payloads = append(payloads, bytes.Repeat([]byte{'p'}, 1000-i))
	}
	c := pack(t, 2, 4096, headers, payloads) // column 0: 0 3 4, column 1: 1 2 5
	second := len(frame(t, headers[0], 1000, 1000)) + 1000
	c.data[0][second+10] ^= 1
	found, errs := c.scan()
	var keys []string
	for _, f := range found {
		keys = append(keys, f.Header.GetKey())
	}
	slices.Sort(keys)
	if diff := cmp.Diff([]string{"0", "1", "2", "5"}, keys); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
	if len(errs) != 1 || !errors.Is(errs[0], record.ErrCorrupt) || !strings.Contains(errs[0].Error(), fmt.Sprintf("volume 3, column 0, row %d:", 4096+second)) {
		t.Errorf("errors: %v", errs)
	}
}

// TestScanGoesOnBehindSplitRecord: a split record proves where a column goes on whose own header is damaged.
func TestScanGoesOnBehindSplitRecord(t *testing.T) {
	first := frame(t, object("damaged", 0), 50, 50)
	split := frame(t, object("split", 0), 30, 15)
	after := frame(t, object("after", 0), 5, 5)
	const splitAt = 200
	column0 := make([]byte, 400)
	copy(column0, frame(t, object("whole", 0), uint64(splitAt-len(frame(t, object("whole", 0), 1, 1))), 200))
	copy(column0[splitAt:], split)
	column1 := make([]byte, 400)
	copy(column1, first)
	column1[20] ^= 1
	copy(column1[splitAt+len(split)+15:], after)
	c := columns{frame: record.Frame{K: 2, Rows: 400}, data: [][]byte{column0, column1}}
	found, errs := c.scan()
	var keys []string
	for _, f := range found {
		keys = append(keys, f.Header.GetKey())
	}
	if diff := cmp.Diff([]string{"whole", "split", "after"}, keys); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
	if len(errs) != 1 {
		t.Errorf("errors: %v", errs)
	}
}

func TestScanRefusesImpossibleRecords(t *testing.T) {
	header := object("x", 0)
	build := func(payload uint64, run uint32) []byte {
		b := make([]byte, 300)
		copy(b, frame(t, header, payload, run))
		return b
	}
	// filled is a record that ends at a row.
	filled := func(end int) []byte {
		size := end - len(frame(t, object("filled", 0), 1, 1))
		return append(frame(t, object("filled", 0), uint64(size), uint32(size)), bytes.Repeat([]byte{1}, size)...)
	}
	huge := build(10, 10)
	binary.LittleEndian.PutUint32(huge[8:], 290)
	cases := map[string]columns{
		"payload beyond the frame":    {data: [][]byte{build(400, 400), nil}},
		"more pieces than columns":    {data: [][]byte{build(30, 10), nil}},
		"header beyond the frame":     {data: [][]byte{reseal(huge), nil}},
		"header cut by the frame":     {data: [][]byte{slices.Concat(filled(290), frame(t, header, 1, 1)[:10]), nil}},
		"piece over another record":   {data: [][]byte{slices.Concat(filled(150), build(20, 10)[:150]), filled(151)}},
		"garbage":                     {data: [][]byte{[]byte("garbage"), nil}},
		"magic at the frame's bottom": {data: [][]byte{bytes.Repeat([]byte{'D'}, 300), nil}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.frame = record.Frame{K: 2, Rows: 300}
			_, errs := c.scan()
			if len(errs) != 1 || !errors.Is(errs[0], record.ErrCorrupt) {
				t.Fatalf("errors: %v, want one that says damage", errs)
			}
		})
	}
}

func TestScanReportsUnreadableColumns(t *testing.T) {
	c := pack(t, 2, 0, []*typesv1.RecordHeader{object("a", 0), object("b", 0)}, [][]byte{[]byte("aaa"), []byte("b")})
	broken := errors.New("two columns are gone")
	var keys []string
	var errs []error
	for f, err := range record.Scan(c.frame, func(column int, row uint64, dst []byte) error {
		if column == 0 {
			return broken
		}
		return c.read(column, row, dst)
	}) {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		keys = append(keys, f.Header.GetKey())
	}
	if len(errs) != 1 || !errors.Is(errs[0], broken) || len(keys) != 1 || keys[0] != "b" {
		t.Fatalf("keys %v, errors %v", keys, errs)
	}
}

func TestScanStopsWhenAsked(t *testing.T) {
	c := pack(t, 1, 0, []*typesv1.RecordHeader{object("a", 0), object("b", 0)}, [][]byte{[]byte("aaa"), []byte("b")})
	seen := 0
	for range record.Scan(c.frame, c.read) {
		seen++
		break
	}
	if seen != 1 {
		t.Fatalf("saw %d", seen)
	}
}

// FuzzScan: columns of any bytes give findings inside the frame, and an end.
func FuzzScan(f *testing.F) {
	c := pack(f, 2, 0, []*typesv1.RecordHeader{object("a", 3), object("b", 0)}, [][]byte{[]byte("aaa"), []byte("b")})
	f.Add(c.data[0], c.data[1])
	f.Add(imitation(f, 1000), imitation(f, 999))
	split := pack(f, 2, 0, []*typesv1.RecordHeader{object("a", 0)}, [][]byte{make([]byte, 70<<10)})
	f.Add(split.data[0], split.data[1])
	f.Fuzz(func(t *testing.T, column0, column1 []byte) {
		c := columns{data: [][]byte{column0, column1}, frame: record.Frame{K: 2, Row: block.Size, Rows: max(len(column0), len(column1))}}
		if c.frame.Rows == 0 || c.frame.Rows > block.Size {
			return
		}
		found, _ := c.scan()
		for _, f := range found {
			if !block.CheckExtent(f.Extent) {
				t.Fatalf("malformed extent %v", f.Extent)
			}
			for p := range block.Pieces(f.Extent, 2, 0, f.Payload) {
				if p.Stripe != 1 || int(p.Row-block.Size)+p.Length > c.frame.Rows {
					t.Fatalf("piece %+v of %v lies outside", p, f.Extent)
				}
			}
		}
	})
}

func BenchmarkScan(b *testing.B) {
	var headers []*typesv1.RecordHeader
	var payloads [][]byte
	source := rand.New(rand.NewPCG(1, 2))
	for i := range 200 {
		headers = append(headers, proto.CloneOf(full()))
		headers[i].Key = strconv.Itoa(i)
		payloads = append(payloads, make([]byte, source.IntN(8000)))
	}
	c := pack(b, 5, 0, headers, payloads)
	b.ReportAllocs()
	for b.Loop() {
		if found, _ := c.scan(); len(found) != 200 {
			b.Fatal(len(found))
		}
	}
}
