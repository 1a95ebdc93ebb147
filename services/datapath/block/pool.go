package block

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

const (
	// Buffers come in powers of two between these: a packed frame of a lone small object needs a few KiB in each
	// of n columns, a stream's frame needs a whole block.
	minBufferLog2 = 12
	maxBufferLog2 = 20
	bufferClasses = maxBufferLog2 - minBufferLog2 + 1
)

// Pool hands out buffers of up to Size bytes and takes them back. Its zero value is ready; it is safe for
// concurrent use. Contents of a buffer are whatever its last user left: who needs zeros clears them.
type Pool struct {
	classes [bufferClasses]sync.Pool
	out     atomic.Int64
}

// Buffer is a pooled slice with a count of those who may still read it.
type Buffer struct {
	// Bytes has the length that was asked for and dirty contents.
	Bytes []byte

	pool  *Pool
	class int
	count atomic.Int32
}

// Get returns a buffer of n bytes, at most Size, that the caller must release once.
func (p *Pool) Get(n int) *Buffer {
	class := classOf(n)
	b, _ := p.classes[class].Get().(*Buffer)
	if b == nil {
		b = p.make(class)
	}
	b.Bytes = b.Bytes[:n]
	b.count.Store(1)
	p.out.Add(1)
	return b
}

// make makes a buffer; of the largest ones it puts some more into the pool.
func (p *Pool) make(class int) *Buffer {
	if class < bufferClasses-1 {
		return &Buffer{Bytes: make([]byte, 1<<(class+minBufferLog2)), pool: p, class: class}
	}
	slab := newSlab()
	for len(slab) > Size {
		p.classes[class].Put(&Buffer{Bytes: slab[:Size:Size], pool: p, class: class})
		slab = slab[Size:]
	}
	return &Buffer{Bytes: slab, pool: p, class: class}
}

// Outstanding is the number of buffers that were handed out and not released: 0 when nobody leaks.
func (p *Pool) Outstanding() int64 { return p.out.Load() }

// Retain adds a user; each user releases once.
func (b *Buffer) Retain() {
	if b.count.Add(1) <= 1 {
		panic("block: a released buffer was retained")
	}
}

// Release ends a user's hold. The last one gives the memory to the next caller of Get, so a release too many would
// let two writers share bytes; it panics instead.
func (b *Buffer) Release() {
	switch left := b.count.Add(-1); {
	case left < 0:
		panic("block: a buffer was released twice")
	case left == 0:
		b.pool.out.Add(-1)
		b.pool.classes[b.class].Put(b)
	}
}

// Cap is the memory that the buffer holds, in bytes.
func (b *Buffer) Cap() int { return cap(b.Bytes) }

// Footprint is the memory that Get(n) takes, in bytes.
func Footprint(n int) int { return 1 << (classOf(n) + minBufferLog2) }

func classOf(n int) int {
	if n > Size {
		panic("block: a buffer is at most one block")
	}
	if n <= 1<<minBufferLog2 {
		return 0
	}
	return bits.Len(uint(n-1)) - minBufferLog2
}
