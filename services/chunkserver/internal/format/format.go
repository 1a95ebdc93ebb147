// Package format is the bytes on a chunk-server's disk: chunk header, frame header, footer, catalogue slots and the
// disk's identity, as ../../FORMAT.md lays them down. Pure functions; all numbers are little endian.
//
// Constraints:
//
//  1. Every structure begins with a magic and a version and ends with a CRC32C, at places that no version moves. A
//     parser checks them before it believes anything else: ErrVersion means other software, never rot.
//  2. Parsing accepts exactly what encoding makes: reserved bytes are zero, lengths are derived, not trusted.
//  3. A parser never panics, whatever the bytes.
package format

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

const (
	// Version is the version byte that every structure carries.
	Version = 1

	// BlockSize is the length of a block in rows; no frame crosses a block's end.
	BlockSize = 1 << 20
	// PageSize is what frames are aligned to, so that no sector with acknowledged bytes is ever written again.
	PageSize = 4096
	// MinGranuleLog2 is log2 of the least bytes under one checksum: with less, checksums take more than 0.1 % of the data.
	MinGranuleLog2 = 12
	// MaxGranuleLog2 is log2 of the most: with more, a small read verifies too much.
	MaxGranuleLog2 = 16

	// MaxName bounds ids and writers' names in bytes, so that they fit a one-byte length and their structures.
	MaxName = 255
	// MaxDiskID bounds the ids of disks and clusters; both are UUIDs or as short.
	MaxDiskID = 64
)

// What can be wrong with bytes. The errors of this package wrap one of them.
var (
	ErrMagic    = errors.New("another magic")
	ErrVersion  = errors.New("unknown version")
	ErrChecksum = errors.New("checksum mismatch")
	ErrForm     = errors.New("malformed")
	ErrShort    = errors.New("too short")
)

// Key names a chunk on its disk.
type Key struct {
	Volume     uint64
	Generation uint32
	Column     uint32
	Attempt    uint32
}

// String is the key as logs and file names have it.
func (k Key) String() string {
	return fmt.Sprintf("%016x-%d-%d-%d", k.Volume, k.Generation, k.Column, k.Attempt)
}

// Compare orders keys by volume, generation, column, attempt.
func (k Key) Compare(o Key) int {
	return cmp.Or(cmp.Compare(k.Volume, o.Volume), cmp.Compare(k.Generation, o.Generation),
		cmp.Compare(k.Column, o.Column), cmp.Compare(k.Attempt, o.Attempt))
}

const keySize = 20

func appendKey(b []byte, k Key) []byte {
	b = binary.LittleEndian.AppendUint64(b, k.Volume)
	b = binary.LittleEndian.AppendUint32(b, k.Generation)
	b = binary.LittleEndian.AppendUint32(b, k.Column)
	return binary.LittleEndian.AppendUint32(b, k.Attempt)
}

func parseKey(b []byte) Key {
	return Key{
		Volume:     binary.LittleEndian.Uint64(b),
		Generation: binary.LittleEndian.Uint32(b[8:]),
		Column:     binary.LittleEndian.Uint32(b[12:]),
		Attempt:    binary.LittleEndian.Uint32(b[16:]),
	}
}

// Checksum is the CRC32C (Castagnoli) of b.
func Checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// Granules is the number of checksums of `stored` bytes.
func Granules(stored uint32, granuleLog2 uint8) int {
	return int((uint64(stored) + 1<<granuleLog2 - 1) >> granuleLog2)
}

// PageAlign rounds up to the next page.
func PageAlign(n int64) int64 { return (n + PageSize - 1) &^ (PageSize - 1) }

// checkMagic compares the four bytes that every structure begins with.
func checkMagic(b []byte, magic string) error {
	if string(b[:4]) != magic {
		return fmt.Errorf("%w: %q, not %q", ErrMagic, b[:4], magic)
	}
	return nil
}

// checkSum verifies a structure whose last four bytes are the CRC32C of those before, then its version byte: a version
// that passes the checksum was written by other software, it is no rot.
func checkSum(b []byte) error {
	end := len(b) - 4
	if Checksum(b[:end]) != binary.LittleEndian.Uint32(b[end:]) {
		return ErrChecksum
	}
	return checkVersion(b)
}

func checkVersion(b []byte) error {
	if b[4] != Version {
		return fmt.Errorf("%w %d", ErrVersion, b[4])
	}
	return nil
}

func allZero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

// appendName appends a one-byte length and the text.
func appendName(b []byte, s string) []byte {
	b = append(b, byte(len(s)))
	return append(b, s...)
}

// cutName is appendName backwards.
func cutName(b []byte, longest int) (name string, rest []byte, err error) {
	if len(b) == 0 || len(b) < 1+int(b[0]) || int(b[0]) > longest {
		return "", nil, fmt.Errorf("%w: a name's length", ErrForm)
	}
	n := 1 + int(b[0])
	return string(b[1:n]), b[n:], nil
}
