package block_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/datapath/erasure"
)

func newCode(tb testing.TB, k, m int) *erasure.Code {
	tb.Helper()
	code, err := erasure.NewCode(erasure.Scheme{K: k, M: m})
	if err != nil {
		tb.Fatal(err)
	}
	return code
}

// soil leaves buffers full of ones in the pool.
func soil(pool *block.Pool, n, size int) {
	var buffers []*block.Buffer
	for range n {
		b := pool.Get(size)
		b.Bytes = b.Bytes[:cap(b.Bytes)]
		for i := range b.Bytes {
			b.Bytes[i] = 0xff
		}
		buffers = append(buffers, b)
	}
	for _, b := range buffers {
		b.Release()
	}
}

// TestFrameIgnoresDirt: pooled buffers hold other people's bytes, and none of them may reach data or parity.
func TestFrameIgnoresDirt(t *testing.T) {
	code := newCode(t, 3, 2)
	build := func(pool *block.Pool) [][]byte {
		f := block.NewFrame(pool, code, 100, 5000)
		defer f.Release()
		f.Fill(0, 0, []byte("header"))
		f.Fill(0, 10, bytes.Repeat([]byte("a"), 3000))
		f.Fill(2, 70, bytes.Repeat([]byte("b"), 100))
		if err := f.Encode(block.PackedGranuleLog2); err != nil {
			t.Fatal(err)
		}
		var data [][]byte
		for c := range 5 {
			r := f.Request(c, nil, block.Append{})
			data = append(data, bytes.Clone(r.GetData()))
		}
		return data
	}
	dirty := new(block.Pool)
	soil(dirty, 8, 5000)
	clean, soiled := build(new(block.Pool)), build(dirty)
	if diff := cmp.Diff(clean, soiled); diff != "" {
		t.Fatalf("dirt in the pool changed the frame (-clean +dirty):\n%s", diff)
	}
	want := append([]byte("header\x00\x00\x00\x00"), bytes.Repeat([]byte("a"), 3000)...)
	if !bytes.Equal(soiled[0], want) || len(soiled[1]) != 0 || len(soiled[2]) != 170 || len(soiled[3]) != 3010 {
		t.Fatalf("columns have %d %d %d %d bytes", len(soiled[0]), len(soiled[1]), len(soiled[2]), len(soiled[3]))
	}
	if dirty.Outstanding() != 0 {
		t.Errorf("%d buffers leaked", dirty.Outstanding())
	}
}

func TestRequest(t *testing.T) {
	pool := new(block.Pool)
	f := block.NewFrame(pool, newCode(t, 1, 1), 3*block.Size+5, 20000)
	defer f.Release()
	payload := bytes.Repeat([]byte("x"), 10000)
	f.Fill(0, 0, payload)
	f.Fill(0, 15000, make([]byte, 5000))
	if err := f.Encode(block.PackedGranuleLog2); err != nil {
		t.Fatal(err)
	}
	table := crc32.MakeTable(crc32.Castagnoli)
	ref := &chunkv1.ChunkRef{Volume: 4, Generation: 1, Disk: "d"}
	want := &chunkv1.AppendRequest{
		Chunk: ref, Row: 3*block.Size + 5, Rows: 20000, GranuleLog2: 13, SyncedRow: 77, Continuation: true, Data: payload,
		Crcs: []uint32{crc32.Checksum(payload[:8192], table), crc32.Checksum(payload[8192:], table)},
	}
	for c := range 2 { // with one data column parity is a copy
		got := f.Request(c, ref, block.Append{SyncedRow: 77, Continuation: true})
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Errorf("column %d (-want +got):\n%s", c, diff)
		}
	}
}

func TestEmptyFrame(t *testing.T) {
	pool := new(block.Pool)
	soil(pool, 8, 4096)
	f := block.NewFrame(pool, newCode(t, 2, 2), block.Size-1, 1)
	defer f.Release()
	if err := f.Encode(16); err != nil {
		t.Fatal(err)
	}
	for c := range 4 {
		if r := f.Request(c, nil, block.Append{}); len(r.GetData()) != 0 || len(r.GetCrcs()) != 0 || r.GetRows() != 1 {
			t.Errorf("column %d: %v", c, r)
		}
	}
}

func TestFramePanics(t *testing.T) {
	pool, code := new(block.Pool), newCode(t, 2, 1)
	frame := func(filled int) *block.Frame {
		f := block.NewFrame(pool, code, 0, 100)
		f.Fill(0, 0, make([]byte, filled))
		return f
	}
	cases := map[string]func(){
		"frame over a block's end": func() { block.NewFrame(pool, code, block.Size-10, 11) },
		"frame without rows":       func() { block.NewFrame(pool, code, 0, 0) },
		"overlapping fill":         func() { frame(10).Fill(0, 9, []byte("x")) },
		"fill beyond the end":      func() { frame(10).Fill(0, 100, []byte("x")) },
		"fill of parity":           func() { frame(0).Fill(2, 0, []byte("x")) },
		"frame released twice":     func() { f := frame(0); f.Release(); f.Release() },
		"frame retained too late":  func() { f := frame(0); f.Release(); f.Retain() },
		"buffer released twice":    func() { b := pool.Get(1); b.Release(); b.Release() },
		"buffer retained too late": func() { b := pool.Get(1); b.Release(); b.Retain() },
		"buffer over a block":      func() { pool.Get(block.Size + 1) },
	}
	for name, f := range cases {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Fatal("no panic")
				}
			}()
			f()
		})
	}
}

func TestPool(t *testing.T) {
	pool := new(block.Pool)
	for _, n := range []int{0, 1, 4096, 4097, 65536, 65537, block.Size - 1, block.Size} {
		b := pool.Get(n)
		if len(b.Bytes) != n || b.Cap() != block.Footprint(n) || b.Cap() < n || b.Cap() > max(4096, 2*n) {
			t.Errorf("Get(%d): %d of %d bytes, footprint %d", n, len(b.Bytes), b.Cap(), block.Footprint(n))
		}
		b.Retain()
		b.Release()
		if pool.Outstanding() != 1 {
			t.Errorf("Get(%d): given back while a user held it", n)
		}
		b.Release()
		if pool.Outstanding() != 0 {
			t.Errorf("Get(%d): %d outstanding", n, pool.Outstanding())
		}
	}
}

func TestTrimZeros(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := make([]byte, rapid.IntRange(0, 500).Draw(t, "size"))
		for range rapid.IntRange(0, 3).Draw(t, "set") {
			if len(b) > 0 {
				b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] = byte(1) << rapid.IntRange(0, 7).Draw(t, "bit")
			}
		}
		if got, want := block.TrimZeros(b), len(bytes.TrimRight(b, "\x00")); got != want {
			t.Fatalf("TrimZeros = %d, want %d", got, want)
		}
	})
}

func TestChecksums(t *testing.T) {
	table := crc32.MakeTable(crc32.Castagnoli)
	data := make([]byte, 3*4096+1)
	binary.LittleEndian.PutUint64(data[4096:], 42)
	for size, granules := range map[int]int{0: 0, 1: 1, 4095: 1, 4096: 1, 4097: 2, 8192: 2, 12289: 4} {
		sums := block.Checksums(data[:size], 12)
		if len(sums) != granules {
			t.Errorf("%d bytes: %d checksums, want %d", size, len(sums), granules)
		}
		for i, sum := range sums {
			if want := crc32.Checksum(data[i*4096:min((i+1)*4096, size)], table); sum != want {
				t.Errorf("%d bytes, granule %d: %x, want %x", size, i, sum, want)
			}
		}
	}
}

// TestSpanFill: a stream's bytes come in any portions and land where the extent says.
func TestSpanFill(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const k = 3
		pool := new(block.Pool)
		soil(pool, 6, 4096)
		length := rapid.OneOf(rapid.IntRange(0, 3000), rapid.IntRange(0, 600_000)).Draw(t, "length")
		header := bytes.Repeat([]byte("h"), rapid.IntRange(1, 300).Draw(t, "header"))
		row := uint64(rapid.IntRange(0, block.Size-300_000).Draw(t, "row"))
		span, ok := block.Tail(k, row, len(header), length)
		if !ok {
			t.Fatal("no room")
		}
		code, err := erasure.NewCode(erasure.Scheme{K: k, M: 1})
		if err != nil {
			t.Fatal(err)
		}
		f := block.NewFrame(pool, code, span.Row, span.Rows)
		defer f.Release()
		payload := make([]byte, length)
		source := rand.NewChaCha8([32]byte{1})
		_, _ = source.Read(payload)
		span.FillHeader(f, header)
		for at := 0; at < length; {
			n := min(rapid.IntRange(1, max(1000, length/3)).Draw(t, "portion"), length-at)
			span.Fill(f, at, payload[at:at+n])
			at += n
		}
		granule := uint32(rapid.IntRange(block.MinGranuleLog2, block.MaxGranuleLog2).Draw(t, "granule"))
		if err := f.Encode(granule); err != nil {
			t.Fatal(err)
		}
		columns := make([][]byte, k)
		for c := range columns {
			columns[c] = make([]byte, span.Rows)
			r := f.Request(c, nil, block.Append{})
			copy(columns[c], r.GetData())
			if diff := cmp.Diff(block.Checksums(r.GetData(), granule), r.GetCrcs(), cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("checksums of column %d (-of its data +of the request):\n%s", c, diff)
			}
		}
		var got []byte
		for p := range block.Pieces(span.Extent(1, k), k, 0, uint64(length)) {
			from := int(p.Row - row)
			got = append(got, columns[p.Column][from:from+p.Length]...)
		}
		if !bytes.Equal(got, payload) || !bytes.HasPrefix(columns[0], header) {
			t.Fatal("what came back differs")
		}
		if bytes.Trim(columns[1][:len(header)], "\x00") != nil && len(bytes.Trim(columns[1][:len(header)], "\x00")) > 0 {
			t.Fatal("rows beside the header are not zeros")
		}
	})
}

func BenchmarkFrame(b *testing.B) {
	pool, code := new(block.Pool), newCode(b, 5, 4)
	payload := make([]byte, 5*block.Size)
	source := rand.NewChaCha8([32]byte{2})
	_, _ = source.Read(payload)
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		span, _ := block.Continue(5, 0)
		f := block.NewFrame(pool, code, span.Row, span.Rows)
		span.Fill(f, 0, payload)
		if err := f.Encode(block.StreamGranuleLog2); err != nil {
			b.Fatal(err)
		}
		for c := range 9 {
			f.Request(c, nil, block.Append{})
		}
		f.Release()
	}
}

func BenchmarkPack(b *testing.B) {
	items := make([]block.Item, 200)
	for i := range items {
		items[i] = block.Item{Header: 200, Payload: 4096 + i}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := block.Pack(5, block.Size, items); !ok {
			b.Fatal("does not fit")
		}
	}
}

func BenchmarkTrimZeros(b *testing.B) {
	zeros := make([]byte, block.Size)
	b.SetBytes(int64(len(zeros)))
	for b.Loop() {
		if block.TrimZeros(zeros) != 0 {
			b.Fatal("not zero")
		}
	}
}
