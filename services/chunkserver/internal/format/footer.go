package format

import (
	"cmp"
	"encoding/binary"
	"fmt"
)

const (
	footerMagic  = "DRYI"
	trailerMagic = "DRYE"
	footerFixed  = 48
	entryFixed   = 28
	// TrailerSize is the length of what lies at the very end of a sealed file and says where the footer begins.
	TrailerSize = 32

	flagDamaged = 1 << 1
	flagLost    = 1 << 2
)

// Entry is a frame in an index.
type Entry struct {
	// Offset is where the frame's header begins in the file.
	Offset int64
	Row    uint64
	Rows   uint32
	Stored uint32
	// GranuleLog2 is log2 of the bytes under one checksum.
	GranuleLog2  uint8
	Continuation bool
	// Damaged: the frame did not verify when the index was made. Granules that match can be read all the same.
	Damaged bool
	// Lost: not even its header could be read, so rows are known but nothing else is. Lost entries are damaged.
	Lost bool
	CRCs []uint32
}

// DataOffset is where the stored bytes begin in the file.
func (e *Entry) DataOffset() int64 {
	return e.Offset + int64(DataStart(e.Stored, e.GranuleLog2))
}

// End is the first row after the frame.
func (e *Entry) End() uint64 { return e.Row + uint64(e.Rows) }

// Footer is the index of a sealed chunk.
type Footer struct {
	Key   Key
	Nonce uint64
	// Length is the rows that count; frames beyond are ignored.
	Length  uint64
	Entries []Entry
}

// FooterSize is the bytes that the footer of such frames takes, trailer included.
func FooterSize(entries []Entry) int64 {
	n := int64(footerFixed + TrailerSize)
	for i := range entries {
		n += int64(EntrySize(&entries[i]))
	}
	return n
}

// EntrySize is the bytes that a frame takes in a footer.
func EntrySize(e *Entry) int { return entryFixed + 4*len(e.CRCs) }

// Encode makes the footer, trailer included, for a file in which it begins at offset.
func (f *Footer) Encode(offset int64) []byte {
	b := make([]byte, 0, FooterSize(f.Entries))
	b = append(b, footerMagic...)
	b = append(b, Version, 0, 0, 0)
	b = appendKey(b, f.Key)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(f.Entries)))
	b = binary.LittleEndian.AppendUint64(b, f.Nonce)
	b = binary.LittleEndian.AppendUint64(b, f.Length)
	for i := range f.Entries {
		b = appendEntry(b, &f.Entries[i])
	}
	body := len(b)
	crc := Checksum(b)
	b = append(b, trailerMagic...)
	b = append(b, Version, 0, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, uint64(offset))
	b = binary.LittleEndian.AppendUint64(b, uint64(body))
	b = binary.LittleEndian.AppendUint32(b, crc)
	return binary.LittleEndian.AppendUint32(b, Checksum(b[body:]))
}

func appendEntry(b []byte, e *Entry) []byte {
	var flags byte
	if e.Continuation {
		flags |= flagContinuation
	}
	if e.Damaged {
		flags |= flagDamaged
	}
	if e.Lost {
		flags |= flagLost
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(e.Offset))
	b = binary.LittleEndian.AppendUint64(b, e.Row)
	b = binary.LittleEndian.AppendUint32(b, e.Rows)
	b = binary.LittleEndian.AppendUint32(b, e.Stored)
	b = append(b, e.GranuleLog2, flags, 0, 0)
	for _, c := range e.CRCs {
		b = binary.LittleEndian.AppendUint32(b, c)
	}
	return b
}

// Trailer says where a sealed file's footer lies.
type Trailer struct {
	Offset int64
	// Length is the footer's, without the trailer.
	Length int64
	CRC    uint32
}

// ParseTrailer reads the last TrailerSize bytes of a sealed file of fileSize bytes.
func ParseTrailer(b []byte, fileSize int64) (Trailer, error) {
	if len(b) != TrailerSize {
		return Trailer{}, fmt.Errorf("trailer: %w", ErrShort)
	}
	if err := cmp.Or(checkMagic(b, trailerMagic), checkSum(b)); err != nil {
		return Trailer{}, fmt.Errorf("trailer: %w", err)
	}
	offset, length := binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:])
	if fileSize < PageSize+TrailerSize+footerFixed || offset < PageSize || offset > uint64(fileSize) ||
		length != uint64(fileSize)-TrailerSize-offset || offset%PageSize != 0 || length < footerFixed || !allZero(b[5:8]) {
		return Trailer{}, fmt.Errorf("trailer: %w: a footer of %d bytes at %d in %d", ErrForm, length, offset, fileSize)
	}
	return Trailer{Offset: int64(offset), Length: int64(length), CRC: binary.LittleEndian.Uint32(b[24:])}, nil
}

// ParseFooter reads a footer, which b holds without the trailer, and checks that its frames follow each other.
func ParseFooter(b []byte, t Trailer) (*Footer, error) {
	if len(b) < footerFixed || int64(len(b)) != t.Length {
		return nil, fmt.Errorf("footer: %w", ErrShort)
	}
	if err := checkMagic(b, footerMagic); err != nil {
		return nil, fmt.Errorf("footer: %w", err)
	}
	if Checksum(b) != t.CRC {
		return nil, fmt.Errorf("footer: %w", ErrChecksum)
	}
	if err := checkVersion(b); err != nil {
		return nil, fmt.Errorf("footer: %w", err)
	}
	f := &Footer{
		Key:    parseKey(b[8:]),
		Nonce:  binary.LittleEndian.Uint64(b[32:]),
		Length: binary.LittleEndian.Uint64(b[40:]),
	}
	count := binary.LittleEndian.Uint32(b[28:])
	if uint64(count) > uint64(len(b)-footerFixed)/entryFixed || !allZero(b[5:8]) {
		return nil, fmt.Errorf("footer: %w: %d frames in %d bytes", ErrForm, count, len(b))
	}
	f.Entries = make([]Entry, 0, count)
	rest := b[footerFixed:]
	var row uint64
	for range count {
		var err error
		var e Entry
		if e, rest, err = cutEntry(rest); err != nil {
			return nil, fmt.Errorf("footer: %w", err)
		}
		if e.Row != row || e.Offset < PageSize || e.Offset >= t.Offset || e.Offset%PageSize != 0 {
			return nil, fmt.Errorf("footer: %w: a frame of row %d at %d", ErrForm, e.Row, e.Offset)
		}
		row = e.End()
		f.Entries = append(f.Entries, e)
	}
	if len(rest) != 0 || f.Length > row {
		return nil, fmt.Errorf("footer: %w: %d rows, frames end at %d, %d bytes are left", ErrForm, f.Length, row, len(rest))
	}
	return f, nil
}

func cutEntry(b []byte) (Entry, []byte, error) {
	if len(b) < entryFixed {
		return Entry{}, nil, fmt.Errorf("frame index: %w", ErrShort)
	}
	flags := b[25]
	e := Entry{
		Offset:       int64(binary.LittleEndian.Uint64(b)),
		Row:          binary.LittleEndian.Uint64(b[8:]),
		Rows:         binary.LittleEndian.Uint32(b[16:]),
		Stored:       binary.LittleEndian.Uint32(b[20:]),
		GranuleLog2:  b[24],
		Continuation: flags&flagContinuation != 0,
		Damaged:      flags&flagDamaged != 0,
		Lost:         flags&flagLost != 0,
	}
	if err := CheckFrame(e.Row, e.Rows, e.Stored, e.GranuleLog2); err != nil {
		return Entry{}, nil, fmt.Errorf("frame index: %w", err)
	}
	known := byte(flagContinuation | flagDamaged | flagLost)
	if e.Lost && (!e.Damaged || e.Stored != 0) || flags&^known != 0 || !allZero(b[26:28]) {
		return Entry{}, nil, fmt.Errorf("frame index: %w: flags %#x", ErrForm, flags)
	}
	b = b[entryFixed:]
	n := Granules(e.Stored, e.GranuleLog2)
	if len(b) < 4*n {
		return Entry{}, nil, fmt.Errorf("frame index: %w", ErrShort)
	}
	if n > 0 {
		e.CRCs = make([]uint32, n)
	}
	for i := range e.CRCs {
		e.CRCs[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return e, b[4*n:], nil
}
