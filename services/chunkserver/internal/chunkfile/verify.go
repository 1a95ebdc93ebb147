package chunkfile

import (
	"slices"

	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
)

// Findings are what a verification says.
type Findings struct {
	// Damaged frames; the flag is set in each.
	Damaged []format.Entry
	// BadHeader and BadFooter: the file's first page, a sealed file's index is damaged. The rows are not.
	BadHeader, BadFooter bool
	// Bytes that were read from the disk.
	Bytes int64
}

// Clean says that nothing was found.
func (f *Findings) Clean() bool { return len(f.Damaged) == 0 && !f.BadHeader && !f.BadFooter }

// Verify reads frames past the page cache and compares their headers with what the index says and their data with its
// checksums. pace is called with the bytes about to be read and may wait; its error ends the work.
// Errors: only pace's. What cannot be read is damaged.
func Verify(f vfs.Reader, key format.Key, nonce uint64, entries []format.Entry, pace func(n int64) error) (Findings, error) {
	var out Findings
	buf := vfs.Pages(1 + format.BlockSize/vfs.PageSize)
	for i := range entries {
		e := entries[i]
		n := int64(format.DataStart(e.Stored, e.GranuleLog2)) + int64(e.Stored)
		if e.Lost {
			n = format.PageSize
		}
		if err := pace(n); err != nil {
			return out, err
		}
		// Before: or memory is verified, not the disk. After: what nobody asked for must not push out what is in use.
		_ = f.DropCache(e.Offset, format.PageAlign(n))
		_, err := f.ReadAt(buf[:n], e.Offset)
		_ = f.DropCache(e.Offset, format.PageAlign(n))
		out.Bytes += n
		if err != nil || !intact(buf[:n], key, nonce, &e) {
			e.Damaged = true
			out.Damaged = append(out.Damaged, e)
		}
	}
	return out, nil
}

// intact compares a frame's bytes with its entry.
func intact(b []byte, key format.Key, nonce uint64, e *format.Entry) bool {
	h, err := format.ParseFrameHeader(b)
	if err != nil || h.Key != key || h.Nonce != nonce || h.Row != e.Row || h.Rows != e.Rows || h.Stored != e.Stored ||
		h.GranuleLog2 != e.GranuleLog2 || h.Continuation != e.Continuation || !slices.Equal(h.CRCs, e.CRCs) {
		return false
	}
	data := b[format.DataStart(h.Stored, h.GranuleLog2):]
	return format.CheckData(data, h.CRCs, 0, h.GranuleLog2) < 0
}

// VerifyHeader says whether a file's first page still says what it should.
func VerifyHeader(f vfs.Reader, key format.Key, nonce uint64) bool {
	_ = f.DropCache(0, format.PageSize)
	h, err := ReadHeader(f)
	return err == nil && h.Key == key && h.Nonce == nonce
}

// VerifyFooter says whether a sealed file's index is whole.
func VerifyFooter(f vfs.Reader, offset, fileBytes int64, key format.Key, nonce uint64) bool {
	_ = f.DropCache(offset, fileBytes-offset)
	_, err := LoadFooter(f, fileBytes, key, nonce)
	return err == nil
}
