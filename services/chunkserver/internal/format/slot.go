package format

import (
	"cmp"
	"encoding/binary"
	"fmt"
)

const (
	slotMagic = "DRYL"
	// SlotSize is the length of a slot of the catalogue: a sector, so that an append never rewrites an acknowledged one.
	SlotSize = 512

	slotLog   = 1
	slotChunk = 2
	// 3 is reserved for a chunk that was dropped.

	slotPayload = 32
	slotEnd     = SlotSize - 4
	chunkFixed  = 92
)

// State is how far a chunk's life has gone.
type State uint8

// The states of a chunk. They only go up.
const (
	StateOpen   State = 1
	StateFenced State = 2
	StateSealed State = 3
)

// String is the state in a word.
func (s State) String() string {
	switch s {
	case StateOpen:
		return "open"
	case StateFenced:
		return "fenced"
	case StateSealed:
		return "sealed"
	default:
		return fmt.Sprintf("state %d", uint8(s))
	}
}

// SlotPlace is where a slot lies and what was known then; slots that were moved or are left over do not pass.
type SlotPlace struct {
	// File is the number of the catalogue file, Index counts its slots from 0.
	File  uint64
	Index uint64
	// Synced is the number of slots that were on stable storage when this one was written.
	Synced uint64
}

// LogHeader is slot 0 of a catalogue file.
type LogHeader struct {
	// Snapshot is how many slots after this one hold the state that the file began with.
	Snapshot uint64
	Disk     string
}

// ChunkRecord is a chunk's whole state; a later record of the same chunk replaces it.
type ChunkRecord struct {
	Key   Key
	State State
	// Damaged: rot was found below the end.
	Damaged  bool
	K, M     uint16
	Term     uint64
	Capacity uint64
	Nonce    uint64
	// EndRow is the rows that count: those recovered or drained when fenced, the length when sealed.
	EndRow uint64
	// EndOffset is where the frames end in the file and a sealed chunk's footer begins.
	EndOffset uint64
	// FileBytes is the length of the file, preallocation not counted.
	FileBytes uint64
	// CreatedMs and VerifiedMs are Unix milliseconds; 0: never verified.
	CreatedMs  int64
	VerifiedMs int64
	Writer     string
}

// MaxSlotWriter bounds a writer's name so that a record fits its slot.
const MaxSlotWriter = MaxName

// Slot is one of its two parts; the other is nil.
type Slot struct {
	Place SlotPlace
	Log   *LogHeader
	Chunk *ChunkRecord
}

// Append appends the slot to b. Names must be within their bounds.
func (s *Slot) Append(b []byte) []byte {
	from := len(b)
	kind := byte(slotChunk)
	if s.Log != nil {
		kind = slotLog
	}
	b = append(b, slotMagic...)
	b = append(b, Version, kind, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, s.Place.File)
	b = binary.LittleEndian.AppendUint64(b, s.Place.Index)
	b = binary.LittleEndian.AppendUint64(b, s.Place.Synced)
	if s.Log != nil {
		b = binary.LittleEndian.AppendUint64(b, s.Log.Snapshot)
		b = appendName(b, s.Log.Disk)
	} else {
		b = s.Chunk.append(b)
	}
	b = append(b, make([]byte, slotEnd-(len(b)-from))...)
	return binary.LittleEndian.AppendUint32(b, Checksum(b[from:]))
}

func (r *ChunkRecord) append(b []byte) []byte {
	var flags byte
	if r.Damaged {
		flags |= flagDamaged
	}
	b = appendKey(b, r.Key)
	b = append(b, byte(r.State), flags, 0, 0)
	b = binary.LittleEndian.AppendUint16(b, r.K)
	b = binary.LittleEndian.AppendUint16(b, r.M)
	b = binary.LittleEndian.AppendUint64(b, r.Term)
	b = binary.LittleEndian.AppendUint64(b, r.Capacity)
	b = binary.LittleEndian.AppendUint64(b, r.Nonce)
	b = binary.LittleEndian.AppendUint64(b, r.EndRow)
	b = binary.LittleEndian.AppendUint64(b, r.EndOffset)
	b = binary.LittleEndian.AppendUint64(b, r.FileBytes)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.CreatedMs))
	b = binary.LittleEndian.AppendUint64(b, uint64(r.VerifiedMs))
	return appendName(b, r.Writer)
}

// ParseSlot reads one slot.
func ParseSlot(b []byte) (*Slot, error) {
	if len(b) < SlotSize {
		return nil, fmt.Errorf("catalogue slot: %w", ErrShort)
	}
	b = b[:SlotSize]
	if err := cmp.Or(checkMagic(b, slotMagic), checkSum(b)); err != nil {
		return nil, fmt.Errorf("catalogue slot: %w", err)
	}
	s := &Slot{Place: SlotPlace{
		File:   binary.LittleEndian.Uint64(b[8:]),
		Index:  binary.LittleEndian.Uint64(b[16:]),
		Synced: binary.LittleEndian.Uint64(b[24:]),
	}}
	var rest []byte
	var err error
	switch b[5] {
	case slotLog:
		s.Log = &LogHeader{Snapshot: binary.LittleEndian.Uint64(b[slotPayload:])}
		s.Log.Disk, rest, err = cutName(b[slotPayload+8:slotEnd], MaxDiskID)
	case slotChunk:
		s.Chunk, rest, err = parseRecord(b[slotPayload:slotEnd])
	default:
		err = fmt.Errorf("%w: kind %d", ErrVersion, b[5])
	}
	if err == nil && (!allZero(b[6:8]) || !allZero(rest)) {
		err = fmt.Errorf("%w: reserved bytes are set", ErrForm)
	}
	if err != nil {
		return nil, fmt.Errorf("catalogue slot: %w", err)
	}
	return s, nil
}

func parseRecord(b []byte) (*ChunkRecord, []byte, error) {
	r := &ChunkRecord{
		Key:        parseKey(b),
		State:      State(b[keySize]),
		Damaged:    b[keySize+1]&flagDamaged != 0,
		K:          binary.LittleEndian.Uint16(b[24:]),
		M:          binary.LittleEndian.Uint16(b[26:]),
		Term:       binary.LittleEndian.Uint64(b[28:]),
		Capacity:   binary.LittleEndian.Uint64(b[36:]),
		Nonce:      binary.LittleEndian.Uint64(b[44:]),
		EndRow:     binary.LittleEndian.Uint64(b[52:]),
		EndOffset:  binary.LittleEndian.Uint64(b[60:]),
		FileBytes:  binary.LittleEndian.Uint64(b[68:]),
		CreatedMs:  int64(binary.LittleEndian.Uint64(b[76:])),
		VerifiedMs: int64(binary.LittleEndian.Uint64(b[84:])),
	}
	if r.State < StateOpen || r.State > StateSealed || b[keySize+1]&^flagDamaged != 0 || !allZero(b[keySize+2:24]) {
		return nil, nil, fmt.Errorf("%w: state %d, flags %#x", ErrForm, r.State, b[keySize+1])
	}
	const largest = 1 << 62
	if r.EndRow > largest || r.EndOffset > largest || r.FileBytes > largest {
		return nil, nil, fmt.Errorf("%w: sizes out of range", ErrForm)
	}
	var rest []byte
	var err error
	r.Writer, rest, err = cutName(b[chunkFixed:], MaxSlotWriter)
	return r, rest, err
}
