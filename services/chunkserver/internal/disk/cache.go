package disk

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/drystone-store/drystone/services/chunkserver/internal/chunkfile"
	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
)

// files keeps files of chunks at rest open, the least recently used ones are closed.
type files struct {
	fs vfs.FS

	mu  sync.Mutex
	lru *simplelru.LRU[format.Key, *chunkfile.Handle]
}

func newFiles(fs vfs.FS, size int) (*files, error) {
	lru, err := simplelru.NewLRU(size, func(_ format.Key, h *chunkfile.Handle) {
		_ = h.Release() // of a file that was only read: closing it has nothing to say
	})
	return &files{fs: fs, lru: lru}, err
}

// get opens a chunk's file for reading, or finds it open; the caller releases it.
func (f *files) get(k format.Key, path string) (*chunkfile.Handle, error) {
	f.mu.Lock()
	if h, ok := f.lru.Get(k); ok {
		defer f.mu.Unlock()
		return h.Acquire(), nil
	}
	f.mu.Unlock()
	file, err := f.fs.Open(path, vfs.ReadOnly)
	if err != nil {
		return nil, err
	}
	h := chunkfile.NewHandle(file)
	f.put(k, h.Acquire())
	return h, nil
}

// put gives the cache a use of the handle.
func (f *files) put(k format.Key, h *chunkfile.Handle) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lru.Contains(k) {
		f.lru.Remove(k) // another open was faster; one of both is enough
	}
	f.lru.Add(k, h)
}

func (f *files) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lru.Purge()
}

// indexes keeps indexes of chunks at rest, bounded by the bytes that they take.
type indexes struct {
	mu    sync.Mutex
	lru   *simplelru.LRU[format.Key, *chunkfile.Index]
	bytes int64
}

// manyIndexes is more than fit into maxIndexBytes: bytes are the bound, the least recently used list has none.
const manyIndexes = 1 << 20

func newIndexes() (*indexes, error) {
	x := &indexes{}
	var err error
	x.lru, err = simplelru.NewLRU(manyIndexes, func(_ format.Key, i *chunkfile.Index) { x.bytes -= i.FooterSize() })
	return x, err
}

func (x *indexes) get(k format.Key) *chunkfile.Index {
	x.mu.Lock()
	defer x.mu.Unlock()
	i, _ := x.lru.Get(k)
	return i
}

// put keeps an index that does not change any more; one that is larger than the bound stays until the next comes.
func (x *indexes) put(k format.Key, i *chunkfile.Index) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.lru.Remove(k)
	x.lru.Add(k, i)
	x.bytes += i.FooterSize()
	for x.bytes > maxIndexBytes && x.lru.Len() > 1 {
		x.lru.RemoveOldest()
	}
}
