package format

import (
	"cmp"
	"encoding/binary"
	"fmt"
)

const (
	chunkMagic = "DRYH"
	// chunkNames is where the names begin; before them lie numbers at fixed places.
	chunkNames = 72
)

// ChunkHeader is the first page of a chunk file: what the file is, without asking anyone.
type ChunkHeader struct {
	Key Key
	// K and M are the data and parity columns of the generation.
	K, M uint32
	Term uint64
	// Capacity is the rows that may come, in bytes.
	Capacity uint64
	// Nonce is random: frames repeat it, so that neither an object's bytes nor a former file's can pass for a frame.
	Nonce uint64
	// CreatedMs is Unix milliseconds.
	CreatedMs int64
	Cluster   string
	Disk      string
	Writer    string
}

// Encode makes the page. Errors: ErrForm for names beyond their bounds.
func (h *ChunkHeader) Encode() ([]byte, error) {
	if len(h.Cluster) > MaxDiskID || len(h.Disk) > MaxDiskID || len(h.Writer) > MaxName {
		return nil, fmt.Errorf("%w: a name of the chunk's header is too long", ErrForm)
	}
	b := make([]byte, 0, PageSize)
	b = append(b, chunkMagic...)
	b = append(b, Version, 0, 0, 0)
	b = appendKey(b, h.Key)
	b = binary.LittleEndian.AppendUint32(b, h.K)
	b = binary.LittleEndian.AppendUint32(b, h.M)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint64(b, h.Term)
	b = binary.LittleEndian.AppendUint64(b, h.Capacity)
	b = binary.LittleEndian.AppendUint64(b, h.Nonce)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.CreatedMs))
	b = appendName(b, h.Cluster)
	b = appendName(b, h.Disk)
	b = appendName(b, h.Writer)
	b = b[:PageSize]
	binary.LittleEndian.PutUint32(b[PageSize-4:], Checksum(b[:PageSize-4]))
	return b, nil
}

// ParseChunkHeader reads a chunk file's first page.
func ParseChunkHeader(b []byte) (*ChunkHeader, error) {
	if len(b) < PageSize {
		return nil, fmt.Errorf("chunk header: %w", ErrShort)
	}
	b = b[:PageSize]
	if err := cmp.Or(checkMagic(b, chunkMagic), checkSum(b)); err != nil {
		return nil, fmt.Errorf("chunk header: %w", err)
	}
	h := &ChunkHeader{
		Key:       parseKey(b[8:]),
		K:         binary.LittleEndian.Uint32(b[28:]),
		M:         binary.LittleEndian.Uint32(b[32:]),
		Term:      binary.LittleEndian.Uint64(b[40:]),
		Capacity:  binary.LittleEndian.Uint64(b[48:]),
		Nonce:     binary.LittleEndian.Uint64(b[56:]),
		CreatedMs: int64(binary.LittleEndian.Uint64(b[64:])),
	}
	rest, err := h.names(b[chunkNames : PageSize-4])
	if err != nil {
		return nil, err
	}
	if !allZero(b[5:8]) || !allZero(b[36:40]) || !allZero(rest) {
		return nil, fmt.Errorf("chunk header: %w: reserved bytes are set", ErrForm)
	}
	return h, nil
}

func (h *ChunkHeader) names(b []byte) (rest []byte, err error) {
	for _, name := range []struct {
		to      *string
		longest int
	}{{&h.Cluster, MaxDiskID}, {&h.Disk, MaxDiskID}, {&h.Writer, MaxName}} {
		if *name.to, b, err = cutName(b, name.longest); err != nil {
			return nil, fmt.Errorf("chunk header: %w", err)
		}
	}
	return b, nil
}
