package format

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/drystone-store/drystone/services/datapath/block"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func exampleKey() Key {
	return Key{Volume: 0x0001_0000_0000_002a, Generation: 2, Column: 5, Attempt: 3}
}

func exampleChunkHeader() *ChunkHeader {
	return &ChunkHeader{
		Key: exampleKey(), K: 5, M: 4, Term: 77, Capacity: 205 << 20, Nonce: 0xdeadbeefcafe, CreatedMs: 1_790_000_000_000,
		Cluster: "2c8f7f0e-cluster", Disk: "9b0e-disk", Writer: "frontdoor/host-1/8d3a",
	}
}

func exampleFrameHeader() *FrameHeader {
	return &FrameHeader{
		Key: exampleKey(), Nonce: 0xdeadbeefcafe, Row: 3<<20 + 4096, Rows: 9000, Stored: 8200, GranuleLog2: 12,
		Continuation: true, SyncedOffset: 16384, SyncedRow: 3 << 20, CRCs: []uint32{1, 2, 3},
	}
}

func exampleFooter() *Footer {
	return &Footer{Key: exampleKey(), Nonce: 0xdeadbeefcafe, Length: 9000 + BlockSize - 9000, Entries: []Entry{
		{Offset: 4096, Row: 0, Rows: 9000, Stored: 8200, GranuleLog2: 13, CRCs: []uint32{7, 8}},
		{Offset: 16384, Row: 9000, Rows: BlockSize - 9000, GranuleLog2: 16, Damaged: true, Lost: true},
		{Offset: 20480, Row: BlockSize, Rows: 10, Stored: 10, GranuleLog2: 16, Continuation: true, CRCs: []uint32{9}},
	}}
}

func exampleSlots() []*Slot {
	return []*Slot{
		{Place: SlotPlace{File: 4}, Log: &LogHeader{Snapshot: 12, Disk: "9b0e-disk"}},
		{Place: SlotPlace{File: 4, Index: 13, Synced: 13}, Chunk: &ChunkRecord{
			Key: exampleKey(), State: StateSealed, Damaged: true, K: 5, M: 4, Term: 77, Capacity: 205 << 20,
			Nonce: 0xdeadbeefcafe, EndRow: 1 << 20, EndOffset: 24576, FileBytes: 24800, CreatedMs: 1_790_000_000_000,
			VerifiedMs: 1_790_000_100_000, Writer: "frontdoor/host-1/8d3a",
		}},
	}
}

// TestBlockSize: rows mean the same in the data path and on disk.
func TestBlockSize(t *testing.T) {
	if BlockSize != block.Size || MinGranuleLog2 != block.MinGranuleLog2 || MaxGranuleLog2 != block.MaxGranuleLog2 {
		t.Errorf("blocks of %d, granules of 2^%d..2^%d; the data path says %d, %d..%d", BlockSize, MinGranuleLog2,
			MaxGranuleLog2, block.Size, block.MinGranuleLog2, block.MaxGranuleLog2)
	}
}

func TestChunkHeaderRoundTrip(t *testing.T) {
	want := exampleChunkHeader()
	b, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if len(b) != PageSize {
		t.Fatalf("%d bytes, want a page", len(b))
	}
	got, err := ParseChunkHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestChunkHeaderRefusesLongNames(t *testing.T) {
	for name, change := range map[string]func(*ChunkHeader){
		"cluster": func(h *ChunkHeader) { h.Cluster = strings.Repeat("c", MaxDiskID+1) },
		"disk":    func(h *ChunkHeader) { h.Disk = strings.Repeat("d", MaxDiskID+1) },
		"writer":  func(h *ChunkHeader) { h.Writer = strings.Repeat("w", MaxName+1) },
	} {
		t.Run(name, func(t *testing.T) {
			h := exampleChunkHeader()
			change(h)
			if _, err := h.Encode(); !errors.Is(err, ErrForm) {
				t.Errorf("got %v, want ErrForm", err)
			}
		})
	}
}

func TestFrameHeaderRoundTrip(t *testing.T) {
	for name, stored := range map[string]uint32{"empty": 0, "one byte": 1, "a granule": 4096, "one more": 4097, "a block": BlockSize} {
		t.Run(name, func(t *testing.T) {
			want := exampleFrameHeader()
			want.Row, want.Rows, want.Stored, want.CRCs = 0, BlockSize, stored, nil
			for i := range Granules(stored, want.GranuleLog2) {
				want.CRCs = append(want.CRCs, uint32(i)*0x01010101)
			}
			b := want.Append(nil)
			if len(b) != FrameHeaderSize(stored, want.GranuleLog2) || len(b) > MaxFrameHeader {
				t.Fatalf("header of %d bytes", len(b))
			}
			got, err := ParseFrameHeader(append(b, make([]byte, 100)...))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCheckFrame(t *testing.T) {
	for name, c := range map[string]struct {
		row          uint64
		rows, stored uint32
		log2         uint8
		ok           bool
	}{
		"whole block":       {0, BlockSize, BlockSize, 16, true},
		"last row":          {BlockSize - 1, 1, 1, 12, true},
		"all zeros":         {5, 10, 0, 16, true},
		"no rows":           {0, 0, 0, 16, false},
		"crosses a block":   {BlockSize - 1, 2, 2, 16, false},
		"more than a block": {0, BlockSize + 1, 5, 16, false},
		"stored > rows":     {0, 5, 6, 16, false},
		"granule too small": {0, 5, 5, 11, false},
		"granule too large": {0, 5, 5, 17, false},
		"row wraps":         {1<<64 - 1, 1, 1, 16, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := CheckFrame(c.row, c.rows, c.stored, c.log2); (err == nil) != c.ok {
				t.Errorf("got %v, want ok=%v", err, c.ok)
			}
		})
	}
}

func TestFooterRoundTrip(t *testing.T) {
	want := exampleFooter()
	const offset = 7 * PageSize
	b := want.Encode(offset)
	if int64(len(b)) != FooterSize(want.Entries) {
		t.Errorf("%d bytes, FooterSize says %d", len(b), FooterSize(want.Entries))
	}
	trailer, err := ParseTrailer(b[len(b)-TrailerSize:], offset+int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseFooter(b[:trailer.Length], trailer)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSlotRoundTrip(t *testing.T) {
	for i, want := range exampleSlots() {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			b := want.Append(nil)
			if len(b) != SlotSize {
				t.Fatalf("%d bytes", len(b))
			}
			got, err := ParseSlot(b)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestIdentityRoundTrip(t *testing.T) {
	want := Identity{FormatVersion: Version, Disk: "9b0e-disk", Cluster: "2c8f7f0e-cluster", FormattedMs: 1_790_000_000_000}
	b, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseIdentity(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	b[20] ^= 1
	if _, err := ParseIdentity(b); !errors.Is(err, ErrChecksum) {
		t.Errorf("a flipped bit: got %v, want ErrChecksum", err)
	}
}

// TestEveryFlippedBitIsSeen: no structure is accepted with one bit changed (constraint 1).
func TestEveryFlippedBitIsSeen(t *testing.T) {
	header, err := exampleChunkHeader().Encode()
	if err != nil {
		t.Fatal(err)
	}
	footer := exampleFooter().Encode(7 * PageSize)
	for name, c := range map[string]struct {
		bytes []byte
		parse func([]byte) error
	}{
		"chunk header": {header, func(b []byte) error { _, err := ParseChunkHeader(b); return err }},
		"frame header": {exampleFrameHeader().Append(nil), func(b []byte) error { _, err := ParseFrameHeader(b); return err }},
		"footer":       {footer, func(b []byte) error { _, err := parseSealed(b, 7*PageSize); return err }},
		"slot":         {exampleSlots()[1].Append(nil), func(b []byte) error { _, err := ParseSlot(b); return err }},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.parse(c.bytes); err != nil {
				t.Fatal(err)
			}
			for bit := range len(c.bytes) * 8 {
				b := bytes.Clone(c.bytes)
				b[bit/8] ^= 1 << (bit % 8)
				if c.parse(b) == nil {
					t.Fatalf("bit %d flipped: accepted", bit)
				}
			}
		})
	}
}

// TestNewerVersionIsNotRot: a version that passes the checksum is told apart from a damaged byte.
func TestNewerVersionIsNotRot(t *testing.T) {
	b := exampleSlots()[1].Append(nil)
	b[4] = Version + 1
	if _, err := ParseSlot(b); !errors.Is(err, ErrChecksum) {
		t.Errorf("a damaged version byte: got %v, want ErrChecksum", err)
	}
	binary.LittleEndian.PutUint32(b[slotEnd:], Checksum(b[:slotEnd]))
	if _, err := ParseSlot(b); !errors.Is(err, ErrVersion) {
		t.Errorf("a newer slot: got %v, want ErrVersion", err)
	}
}

func TestCheckData(t *testing.T) {
	data := bytes.Repeat([]byte("drystone"), 2000)
	var crcs []uint32
	for at := 0; at < len(data); at += 4096 {
		crcs = append(crcs, Checksum(data[at:min(at+4096, len(data))]))
	}
	if got := CheckData(data, crcs, 0, 12); got != -1 {
		t.Errorf("good data: granule %d", got)
	}
	if got := CheckData(data[4096:8192], crcs, 1, 12); got != -1 {
		t.Errorf("one good granule: %d", got)
	}
	data[9000] ^= 1
	if got := CheckData(data, crcs, 0, 12); got != 2 {
		t.Errorf("damage in granule 2: got %d", got)
	}
	if got := CheckData(data, crcs[:1], 0, 12); got != 1 {
		t.Errorf("too few checksums: got %d, want 1", got)
	}
}

// TestGoldenLayout pins the bytes of version 1.
func TestGoldenLayout(t *testing.T) {
	header, err := exampleChunkHeader().Encode()
	if err != nil {
		t.Fatal(err)
	}
	identity, err := Identity{FormatVersion: Version, Disk: "9b0e-disk", Cluster: "2c8f-cluster", FormattedMs: 1}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"chunk_header": header, "frame_header": exampleFrameHeader().Append(nil), "footer": exampleFooter().Encode(7 * PageSize),
		"slot_log": exampleSlots()[0].Append(nil), "slot_chunk": exampleSlots()[1].Append(nil), "identity": identity,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", "v1", name+".hex")
			got := hex.Dump(b)
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("the layout changed: a new version is needed\n%s", diff)
			}
		})
	}
}

func parseSealed(b []byte, offset int64) (*Footer, error) {
	if len(b) < TrailerSize {
		return nil, ErrShort
	}
	trailer, err := ParseTrailer(b[len(b)-TrailerSize:], offset+int64(len(b)))
	if err != nil {
		return nil, err
	}
	if trailer.Offset != offset {
		return nil, ErrForm
	}
	return ParseFooter(b[:trailer.Length], trailer)
}

func TestFrameLayout(t *testing.T) {
	for name, tt := range map[string]struct {
		stored      uint32
		start, size int64
	}{
		"empty":                 {0, 76, 4096},
		"a page with its head":  {4096 - 80, 80, 4096},
		"one byte more":         {4096 - 79, 80, 8192},
		"the largest small one": {LargeFrame - 1, 76 + 4*2, 33 * 4096},
		"the smallest large":    {LargeFrame, 4096, 33 * 4096},
		"not a whole page":      {LargeFrame + 1, 4096, 34 * 4096},
		"a block":               {BlockSize, 4096, 257 * 4096},
	} {
		t.Run(name, func(t *testing.T) {
			if start := int64(DataStart(tt.stored, MaxGranuleLog2)); start != tt.start {
				t.Errorf("data begins at %d, want %d", start, tt.start)
			}
			if size := FrameSize(tt.stored, MaxGranuleLog2); size != tt.size {
				t.Errorf("%d bytes, want %d", size, tt.size)
			}
		})
	}
}
