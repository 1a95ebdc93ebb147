package client

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/minio/crc64nvme"
)

// summer hashes what is read through it and checks its length.
type summer struct {
	src  io.Reader
	size int64 // -1: any
	read int64
	hash hash.Hash64
}

func newSummer(src io.Reader, size int64) *summer {
	return &summer{src: src, size: size, hash: crc64nvme.New()}
}

// Read implements io.Reader.
func (s *summer) Read(p []byte) (int, error) {
	n, err := s.src.Read(p)
	s.read += int64(n)
	_, _ = s.hash.Write(p[:n]) // A hash never fails.
	switch {
	case s.size >= 0 && s.read > s.size, s.size >= 0 && errors.Is(err, io.EOF) && s.read < s.size:
		return 0, errMoved
	case err != nil && !errors.Is(err, io.EOF):
		return n, fmt.Errorf("read: %w", err)
	}
	return n, err
}

func (s *summer) value() string { return encodeSum(s.hash.Sum64()) }

// encodeSum writes a CRC64-NVME as the API does: base64 of 8 big-endian bytes.
func encodeSum(sum uint64) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, sum))
}
