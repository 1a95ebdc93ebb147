package format

import (
	"encoding/binary"
	"fmt"
)

const (
	frameMagic = "DRYF"
	// frameFixed is the length of a frame header without its list of checksums and its own.
	frameFixed = 72
	// MaxFrameHeader is the longest one: 1 MiB under checksums of 4 KiB. It fits one page, so recovery reads a page.
	MaxFrameHeader = frameFixed + 4*(BlockSize>>MinGranuleLog2) + 4
	// LargeFrame is how many stored bytes make a frame large: then they begin on a page of their own, so that they can
	// be written from where they are, past the page cache. Below, the page would cost more than 3 % of the space.
	LargeFrame = 128 << 10

	flagContinuation = 1 << 0
)

// FrameHeader lies at a page's beginning; DataStart says where the frame's stored bytes follow.
type FrameHeader struct {
	Key   Key
	Nonce uint64
	Row   uint64
	// Rows that the frame covers; Stored of them are here, the rest is zeros.
	Rows   uint32
	Stored uint32
	// GranuleLog2 is log2 of the bytes under one checksum.
	GranuleLog2  uint8
	Continuation bool
	// SyncedOffset is how much of this file was known to be on stable storage when the frame was written.
	SyncedOffset uint64
	// SyncedRow is the row before which the writer knew every column to be on stable storage.
	SyncedRow uint64
	// CRCs are of each granule of the stored bytes; the last one may be short.
	CRCs []uint32
}

// FrameHeaderSize is the length of the header of a frame that stores so many bytes.
func FrameHeaderSize(stored uint32, granuleLog2 uint8) int {
	return frameFixed + 4*Granules(stored, granuleLog2) + 4
}

// DataStart is where the stored bytes begin, counted from the frame's beginning: directly after the header, or on the
// next page in a large frame.
func DataStart(stored uint32, granuleLog2 uint8) int {
	if stored >= LargeFrame {
		return PageSize
	}
	return FrameHeaderSize(stored, granuleLog2)
}

// FrameSize is what a frame takes in the file: header and bytes, up to the next page.
func FrameSize(stored uint32, granuleLog2 uint8) int64 {
	return PageAlign(int64(DataStart(stored, granuleLog2)) + int64(stored))
}

// CheckFrame says whether rows, stored bytes and granule are possible: a frame lies inside one block.
func CheckFrame(row uint64, rows, stored uint32, granuleLog2 uint8) error {
	switch {
	case rows == 0 || rows > BlockSize || row%BlockSize+uint64(rows) > BlockSize || row > 1<<62:
		return fmt.Errorf("%w: rows %d+%d are not inside one block", ErrForm, row, rows)
	case stored > rows:
		return fmt.Errorf("%w: %d bytes for %d rows", ErrForm, stored, rows)
	case granuleLog2 < MinGranuleLog2 || granuleLog2 > MaxGranuleLog2:
		return fmt.Errorf("%w: granule of 2^%d", ErrForm, granuleLog2)
	}
	return nil
}

// Append appends the header to b. Its numbers must pass CheckFrame and it must have a checksum per granule.
func (h *FrameHeader) Append(b []byte) []byte {
	from := len(b)
	var flags byte
	if h.Continuation {
		flags |= flagContinuation
	}
	b = append(b, frameMagic...)
	b = append(b, Version, flags, h.GranuleLog2, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(FrameHeaderSize(h.Stored, h.GranuleLog2)))
	b = binary.LittleEndian.AppendUint32(b, h.Stored)
	b = binary.LittleEndian.AppendUint64(b, h.Nonce)
	b = appendKey(b, h.Key)
	b = binary.LittleEndian.AppendUint32(b, h.Rows)
	b = binary.LittleEndian.AppendUint64(b, h.Row)
	b = binary.LittleEndian.AppendUint64(b, h.SyncedOffset)
	b = binary.LittleEndian.AppendUint64(b, h.SyncedRow)
	for _, c := range h.CRCs {
		b = binary.LittleEndian.AppendUint32(b, c)
	}
	return binary.LittleEndian.AppendUint32(b, Checksum(b[from:]))
}

// ParseFrameHeader reads the header at the beginning of b, which should hold a page.
func ParseFrameHeader(b []byte) (*FrameHeader, error) {
	if len(b) < frameFixed+4 {
		return nil, fmt.Errorf("frame header: %w", ErrShort)
	}
	if err := checkMagic(b, frameMagic); err != nil {
		return nil, fmt.Errorf("frame header: %w", err)
	}
	size := binary.LittleEndian.Uint32(b[8:])
	if size < frameFixed+4 || size > MaxFrameHeader || int64(size) > int64(len(b)) {
		return nil, fmt.Errorf("frame header: %w: length %d", ErrForm, size)
	}
	b = b[:size]
	if err := checkSum(b); err != nil {
		return nil, fmt.Errorf("frame header: %w", err)
	}
	h := &FrameHeader{
		GranuleLog2:  b[6],
		Continuation: b[5]&flagContinuation != 0,
		Stored:       binary.LittleEndian.Uint32(b[12:]),
		Nonce:        binary.LittleEndian.Uint64(b[16:]),
		Key:          parseKey(b[24:]),
		Rows:         binary.LittleEndian.Uint32(b[44:]),
		Row:          binary.LittleEndian.Uint64(b[48:]),
		SyncedOffset: binary.LittleEndian.Uint64(b[56:]),
		SyncedRow:    binary.LittleEndian.Uint64(b[64:]),
	}
	if err := CheckFrame(h.Row, h.Rows, h.Stored, h.GranuleLog2); err != nil {
		return nil, fmt.Errorf("frame header: %w", err)
	}
	if int(size) != FrameHeaderSize(h.Stored, h.GranuleLog2) || b[5]&^flagContinuation != 0 || b[7] != 0 {
		return nil, fmt.Errorf("frame header: %w: length or reserved bits", ErrForm)
	}
	for list := b[frameFixed : size-4]; len(list) > 0; list = list[4:] {
		h.CRCs = append(h.CRCs, binary.LittleEndian.Uint32(list))
	}
	return h, nil
}

// CheckData compares bytes with checksums, granule by granule, from the granule `first` on. It returns the first granule
// that does not match, or -1.
func CheckData(data []byte, crcs []uint32, first int, granuleLog2 uint8) int {
	granule := 1 << granuleLog2
	for i := first; len(data) > 0; i++ {
		n := min(granule, len(data))
		if i >= len(crcs) || Checksum(data[:n]) != crcs[i] {
			return i
		}
		data = data[n:]
	}
	return -1
}
