package smoke

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
)

// block is how much of a pattern is made at a time.
const block = 4 << 10

// pattern is bytes that nobody else has stored, made again wherever they are wanted: nothing of an object is kept.
type pattern struct {
	seed [32]byte
	size int64
}

// ReadAt implements io.ReaderAt.
func (p pattern) ReadAt(b []byte, at int64) (int, error) {
	n := 0
	for n < len(b) && at < p.size {
		buf := p.block(at / block)
		from := at % block
		k := copy(b[n:], buf[from:min(block, from+p.size-at)])
		n, at = n+k, at+int64(k)
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (p pattern) block(index int64) []byte {
	seed := p.seed
	binary.LittleEndian.PutUint64(seed[:], binary.LittleEndian.Uint64(seed[:])^uint64(index))
	buf := make([]byte, block)
	_, _ = rand.NewChaCha8(seed).Read(buf) // It never fails.
	return buf
}

// reader reads length bytes from an offset on; it can be sought, so that an upload can be repeated.
func (p pattern) reader(offset, length int64) *io.SectionReader {
	return io.NewSectionReader(p, offset, length)
}

// comparer takes what was read and holds it against what is wanted.
type comparer struct {
	want *io.SectionReader
	at   int64 // of the object
}

func (c *comparer) Write(b []byte) (int, error) {
	buf := make([]byte, len(b))
	n, _ := io.ReadFull(c.want, buf)
	for i := range n {
		if buf[i] != b[i] {
			return i, fmt.Errorf("byte %d is not what was stored", c.at+int64(i))
		}
	}
	c.at += int64(n)
	if n < len(b) {
		return n, fmt.Errorf("more bytes came than were stored, or asked for: %d is the last", c.at)
	}
	return n, nil
}
