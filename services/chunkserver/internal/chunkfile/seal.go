package chunkfile

import (
	"fmt"

	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
)

// Seal writes the footer behind the frames and makes it durable. It returns the file's length. A file that was sealed
// before, without the catalogue having heard of it, gets the same footer again.
func Seal(f vfs.File, footer *format.Footer, offset int64) (fileBytes int64, err error) {
	b := footer.Encode(offset)
	fileBytes = offset + int64(len(b))
	if err := f.WriteVec(offset, b); err != nil {
		return 0, fmt.Errorf("write a footer: %w", err)
	}
	size, err := f.Size()
	if err != nil {
		return 0, fmt.Errorf("measure a chunk: %w", err)
	}
	if size > fileBytes {
		if err := f.Truncate(fileBytes); err != nil {
			return 0, fmt.Errorf("trim a chunk: %w", err)
		}
	}
	if err := f.Datasync(); err != nil {
		return 0, fmt.Errorf("sync a footer: %w", err)
	}
	return fileBytes, nil
}

// LoadFooter reads a sealed file's footer and checks that it is this chunk's.
func LoadFooter(f vfs.Reader, fileBytes int64, key format.Key, nonce uint64) (*format.Footer, error) {
	if fileBytes < format.PageSize+format.TrailerSize {
		return nil, fmt.Errorf("footer: %w: a file of %d bytes", format.ErrShort, fileBytes)
	}
	tail := make([]byte, format.TrailerSize)
	if _, err := f.ReadAt(tail, fileBytes-format.TrailerSize); err != nil {
		return nil, fmt.Errorf("read a trailer: %w", err)
	}
	trailer, err := format.ParseTrailer(tail, fileBytes)
	if err != nil {
		return nil, err
	}
	body := make([]byte, trailer.Length)
	if _, err := f.ReadAt(body, trailer.Offset); err != nil {
		return nil, fmt.Errorf("read a footer: %w", err)
	}
	footer, err := format.ParseFooter(body, trailer)
	if err != nil {
		return nil, err
	}
	if footer.Key != key || footer.Nonce != nonce {
		return nil, fmt.Errorf("footer: %w: of chunk %v", format.ErrForm, footer.Key)
	}
	return footer, nil
}
