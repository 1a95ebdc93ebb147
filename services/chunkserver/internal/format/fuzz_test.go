package format

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// The fuzzers mend the checksum of what they are given: else every input ends at the first check. What a parser accepts
// must encode to the same bytes again (constraint 2).

func mend(b []byte) {
	if len(b) >= 4 {
		binary.LittleEndian.PutUint32(b[len(b)-4:], Checksum(b[:len(b)-4]))
	}
}

func FuzzChunkHeader(f *testing.F) {
	b, err := exampleChunkHeader().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[:200])
	f.Fuzz(func(t *testing.T, in []byte) {
		b := make([]byte, PageSize)
		copy(b, in)
		mend(b)
		h, err := ParseChunkHeader(b)
		if err != nil {
			return
		}
		again, err := h.Encode()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("accepted, but encodes otherwise: %v", err)
		}
	})
}

func FuzzFrameHeader(f *testing.F) {
	f.Add(exampleFrameHeader().Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 12 {
			if n := binary.LittleEndian.Uint32(b[8:]); n >= 4 && uint64(n) <= uint64(len(b)) {
				mend(b[:n])
			}
		}
		h, err := ParseFrameHeader(b)
		if err != nil {
			return
		}
		if again := h.Append(nil); !bytes.Equal(again, b[:len(again)]) {
			t.Fatal("accepted, but encodes otherwise")
		}
	})
}

func FuzzFooter(f *testing.F) {
	const offset = 7 * PageSize
	f.Add(exampleFooter().Encode(offset))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > TrailerSize {
			body := len(b) - TrailerSize
			binary.LittleEndian.PutUint32(b[len(b)-8:], Checksum(b[:body]))
			mend(b[body:])
		}
		footer, err := parseSealed(b, offset)
		if err != nil {
			return
		}
		if !bytes.Equal(footer.Encode(offset), b) {
			t.Fatal("accepted, but encodes otherwise")
		}
	})
}

func FuzzSlot(f *testing.F) {
	for _, s := range exampleSlots() {
		f.Add(s.Append(nil)[:300])
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		b := make([]byte, SlotSize)
		copy(b, in)
		mend(b)
		s, err := ParseSlot(b)
		if err != nil {
			return
		}
		if !bytes.Equal(s.Append(nil), b) {
			t.Fatal("accepted, but encodes otherwise")
		}
	})
}

func FuzzIdentity(f *testing.F) {
	b, err := Identity{FormatVersion: Version, Disk: "d", Cluster: "c", FormattedMs: 1}.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if i, err := ParseIdentity(b); err == nil {
			if _, err := i.Encode(); err != nil {
				t.Fatalf("accepted, but cannot be encoded: %v", err)
			}
		}
	})
}
