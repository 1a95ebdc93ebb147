package chunkfile

import (
	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
)

// image lays frames out for a write. Its zero value works; it is used again for the next frame, for one at a time.
type image struct {
	// head holds the header, tail the last page of a large frame: pages for a write past the page cache.
	head, tail []byte
	bufs       [3][]byte
}

// of is a frame as it lies in the file, as buffers to be written one after the other. They alias data, which is not
// copied but for the last, partial page of a large frame: that one is written whole.
func (m *image) of(h *format.FrameHeader, data []byte) [][]byte {
	if m.head == nil {
		m.head = vfs.Pages(1)
	}
	header := h.Append(m.head[:0])
	if h.Stored < format.LargeFrame {
		m.bufs[0], m.bufs[1] = header, data
		return m.bufs[:2]
	}
	page := m.head[:format.PageSize]
	clear(page[len(header):])
	whole := len(data) &^ (format.PageSize - 1)
	m.bufs[0], m.bufs[1] = page, data[:whole]
	if whole == len(data) {
		return m.bufs[:2]
	}
	if m.tail == nil {
		m.tail = vfs.Pages(1)
	}
	clear(m.tail[copy(m.tail, data[whole:]):])
	m.bufs[2] = m.tail
	return m.bufs[:3]
}
