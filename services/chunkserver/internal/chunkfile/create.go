package chunkfile

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
)

// Create makes the file of a new chunk: a name that was free, the first space, the header; all durable, except that a
// dying disk may lie about the name: the caller syncs another file before it answers anyone. Errors: fs.ErrExist; those
// of the file system, with the file removed again as far as that works.
func Create(fs vfs.FS, path string, h *format.ChunkHeader) (vfs.File, error) {
	page, err := h.Encode()
	if err != nil {
		return nil, err
	}
	file, err := fs.Create(path)
	if err != nil {
		return nil, fmt.Errorf("create a chunk: %w", err)
	}
	if err := initialize(fs, file, filepath.Dir(path), page); err != nil {
		return nil, errors.Join(fmt.Errorf("create a chunk: %w", err), file.Close(), fs.Remove(path))
	}
	return file, nil
}

func initialize(fs vfs.FS, file vfs.File, dir string, page []byte) error {
	if err := file.Allocate(0, firstAllocation); err != nil {
		return err
	}
	if err := file.WriteVec(0, page); err != nil {
		return err
	}
	if err := file.Datasync(); err != nil {
		return err
	}
	return fs.SyncDir(dir)
}

// ReadHeader reads and checks the first page.
func ReadHeader(f vfs.Reader) (*format.ChunkHeader, error) {
	page := make([]byte, format.PageSize)
	if _, err := f.ReadAt(page, 0); err != nil {
		return nil, fmt.Errorf("read a chunk's header: %w", err)
	}
	return format.ParseChunkHeader(page)
}
