package chunkfile

import (
	"sort"
	"sync"

	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
)

// Index knows a chunk's frames by row, without gaps. One writer may add while others read.
type Index struct {
	mu      sync.RWMutex
	entries []format.Entry
	// footer is the bytes that the frames take in a footer.
	footer int64
}

// NewIndex makes an index of frames that follow each other from row 0; it keeps the slice.
func NewIndex(entries []format.Entry) *Index {
	return &Index{entries: entries, footer: format.FooterSize(entries)}
}

// add appends frames that follow the last one.
func (x *Index) add(entries ...format.Entry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.entries = append(x.entries, entries...)
	for i := range entries {
		x.footer += int64(format.EntrySize(&entries[i]))
	}
}

// Entries are the frames; what the slice holds does not change.
func (x *Index) Entries() []format.Entry {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.entries
}

// FooterSize is the length of the footer that holds the frames, in bytes: also a measure of the index's memory.
func (x *Index) FooterSize() int64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.footer
}

// End is the first row after the last frame.
func (x *Index) End() uint64 {
	entries := x.Entries()
	if len(entries) == 0 {
		return 0
	}
	return entries[len(entries)-1].End()
}

// covering returns the frames that hold any of the rows [row, end), none if they are not all there.
func covering(entries []format.Entry, row, end uint64) []format.Entry {
	first := sort.Search(len(entries), func(i int) bool { return entries[i].End() > row })
	last := first
	for last < len(entries) && entries[last].Row < end {
		last++
	}
	if first == last || entries[last-1].End() < end {
		return nil
	}
	return entries[first:last]
}
