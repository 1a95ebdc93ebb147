// Package record frames what lies in a volume: a header that says whose bytes follow, then the bytes. A record proves
// what its bytes are, never that they were committed. ../FORMAT.md has the byte tables.
package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"google.golang.org/protobuf/proto"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/datapath/erasure"
)

const (
	// Version is the version of the framing.
	Version = 1
	// FixedSize is the bytes of a framed header before its protobuf message.
	FixedSize = 28
	// MaxHeader bounds a framed header, in bytes. The longest legal one (key, user metadata, 64 extents) takes less
	// than 8 KiB; the bound keeps a damaged length from costing memory.
	MaxHeader = 64 << 10
	// MaxPayload bounds a payload, in bytes: a record lies in one frame, so in one stripe.
	MaxPayload = erasure.MaxK * block.Size

	magic = "DRYR"

	atVersion = 4
	atKind    = 5
	atLength  = 8
	atPayload = 12
	atRun     = 20
	atSum     = 24
)

var (
	// ErrNone says that no record begins here: the column's records have ended.
	ErrNone = errors.New("record: none here")
	// ErrShort says that the bytes end before the header does; Length says how many it takes.
	ErrShort = errors.New("record: header is cut off")
	// ErrCorrupt says that the bytes are neither zeros nor a valid header.
	ErrCorrupt = errors.New("record: header is damaged")
	// ErrTooLarge says that a header or a payload is beyond what the format allows.
	ErrTooLarge = errors.New("record: too large")
)

// Record is a parsed header.
type Record struct {
	// Header says whose bytes follow.
	Header *typesv1.RecordHeader
	// Size is the framed header's bytes; the payload follows.
	Size int
	// Payload is the payload's bytes in this frame.
	Payload uint64
	// Run is the payload's bytes in each column.
	Run uint32
}

// Size is the bytes that Append writes for a header.
func Size(h *typesv1.RecordHeader) int { return FixedSize + proto.Size(h) }

// Append writes a framed header behind dst. Payload and run are in bytes. Errors: ErrTooLarge, or a header without a
// kind or a run out of bounds.
func Append(dst []byte, h *typesv1.RecordHeader, payload uint64, run uint32) ([]byte, error) {
	kind := h.GetKind()
	if kind <= 0 || kind > math.MaxUint8 {
		return dst, fmt.Errorf("framing a record of kind %d: no such kind", kind)
	}
	if run == 0 || run > block.Size {
		return dst, fmt.Errorf("framing a record: a run of %d bytes is out of bounds", run)
	}
	start := len(dst)
	var fixed [FixedSize]byte
	out, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(append(dst, fixed[:]...), h)
	if err != nil {
		return dst, fmt.Errorf("framing a record: %w", err)
	}
	framed := out[start:]
	if len(framed) > MaxHeader || payload > MaxPayload {
		return dst, fmt.Errorf("%w: header of %d bytes, payload of %d", ErrTooLarge, len(framed), payload)
	}
	copy(framed, magic)
	framed[atVersion] = Version
	framed[atKind] = byte(kind)
	binary.LittleEndian.PutUint32(framed[atLength:], uint32(len(framed)-FixedSize))
	binary.LittleEndian.PutUint64(framed[atPayload:], payload)
	binary.LittleEndian.PutUint32(framed[atRun:], run)
	binary.LittleEndian.PutUint32(framed[atSum:], checksum(framed))
	return out, nil
}

// Length reads how many bytes the framed header at the beginning of b takes, without trusting anything else of it.
// Errors: ErrNone if b begins with a zero byte or is empty, ErrShort if b has fewer than FixedSize bytes, ErrCorrupt.
func Length(b []byte) (int, error) {
	if len(b) == 0 || b[0] == 0 {
		return 0, ErrNone
	}
	if have := min(len(b), len(magic)); string(b[:have]) != magic[:have] {
		return 0, fmt.Errorf("%w: no magic", ErrCorrupt)
	}
	if len(b) < FixedSize {
		return 0, ErrShort
	}
	if b[atVersion] != Version {
		return 0, fmt.Errorf("%w: version %d", ErrCorrupt, b[atVersion])
	}
	size := binary.LittleEndian.Uint32(b[atLength:])
	if size > MaxHeader-FixedSize {
		return 0, fmt.Errorf("%w: header of %d bytes", ErrCorrupt, size)
	}
	return FixedSize + int(size), nil
}

// Parse reads the framed header at the beginning of b, which may come from anywhere and go on behind it. It keeps no
// reference to b. Errors: those of Length; ErrShort if b holds less than the whole header.
func Parse(b []byte) (Record, error) {
	size, err := Length(b)
	if err != nil {
		return Record{}, err
	}
	if len(b) < size {
		return Record{}, ErrShort
	}
	framed := b[:size]
	if binary.LittleEndian.Uint32(framed[atSum:]) != checksum(framed) {
		return Record{}, fmt.Errorf("%w: checksum does not match", ErrCorrupt)
	}
	r := Record{
		Header:  &typesv1.RecordHeader{},
		Size:    size,
		Payload: binary.LittleEndian.Uint64(framed[atPayload:]),
		Run:     binary.LittleEndian.Uint32(framed[atRun:]),
	}
	if err := proto.Unmarshal(framed[FixedSize:], r.Header); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	kind := r.Header.GetKind()
	switch {
	case kind <= 0 || int64(kind) != int64(framed[atKind]):
		return Record{}, fmt.Errorf("%w: kind %d in a frame of kind %d", ErrCorrupt, kind, framed[atKind])
	case framed[atKind+1] != 0 || framed[atKind+2] != 0:
		return Record{}, fmt.Errorf("%w: reserved bytes are set", ErrCorrupt)
	case r.Run == 0 || r.Run > block.Size:
		return Record{}, fmt.Errorf("%w: run of %d bytes", ErrCorrupt, r.Run)
	case r.Payload > MaxPayload:
		return Record{}, fmt.Errorf("%w: payload of %d bytes", ErrCorrupt, r.Payload)
	}
	return r, nil
}

// checksum covers a framed header but for the checksum itself.
func checksum(framed []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(framed[:atSum], table), table, framed[FixedSize:])
}
