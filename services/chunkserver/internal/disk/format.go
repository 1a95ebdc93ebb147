package disk

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/drystone-store/drystone/services/chunkserver/internal/catalogue"
	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
	"github.com/drystone-store/drystone/services/kit/clock"
)

// What keeps a folder from being opened as a disk.
var (
	// ErrBlank: nothing is there yet; Format makes a disk of it.
	ErrBlank = errors.New("the folder is not formatted")
	// ErrForeign: something else is there. It is left alone.
	ErrForeign = errors.New("the folder holds something else")
)

const newSuffix = ".new"

// Format makes a disk of a blank folder, durably, with a new id. The folder, and those above it, are made if they are
// missing. Errors: ErrForeign, vfs.ErrLocked, those of the file system. A format that was interrupted can be repeated.
func Format(fsys vfs.FS, path, cluster string) error {
	if err := makeFolders(fsys, path); err != nil {
		return err
	}
	lock, err := fsys.Lock(filepath.Join(path, lockName))
	if err != nil {
		return fmt.Errorf("format a disk: %w", err)
	}
	if err := errors.Join(formatLocked(fsys, path, cluster), lock.Close()); err != nil {
		return fmt.Errorf("format a disk: %w", err)
	}
	return nil
}

func formatLocked(fsys vfs.FS, path, cluster string) error {
	if err := clearBlank(fsys, path); err != nil {
		return err
	}
	id := format.Identity{FormatVersion: format.Version, Disk: newUUID(), Cluster: cluster, FormattedMs: clock.UnixMilli()}
	text, err := id.Encode()
	if err != nil {
		return err
	}
	if err := fsys.Mkdir(filepath.Join(path, chunksName)); err != nil {
		return err
	}
	if err := catalogue.Create(fsys, path, id.Disk); err != nil {
		return err
	}
	// The identity comes last: a folder that has one is whole.
	return install(fsys, path, identityName, text)
}

// makeFolders makes a folder and what is missing above it; each one's name is made durable.
func makeFolders(fsys vfs.FS, path string) error {
	err := fsys.Mkdir(path)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case errors.Is(err, fs.ErrNotExist) && filepath.Dir(path) != path:
		if err := makeFolders(fsys, filepath.Dir(path)); err != nil {
			return err
		}
		err = fsys.Mkdir(path)
	}
	if err != nil {
		return fmt.Errorf("make a disk's folder: %w", err)
	}
	if err := fsys.SyncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("make a disk's folder: %w", err)
	}
	return nil
}

// clearBlank checks that nothing of value is in the folder, and removes what an interrupted format left.
func clearBlank(fsys vfs.FS, path string) error {
	names, err := fsys.List(path)
	if err != nil {
		return err
	}
	if err := checkBlank(fsys, path, names); err != nil {
		return err
	}
	for _, name := range names {
		if name != lockName && name != lostAndFound {
			if err := fsys.Remove(filepath.Join(path, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// lostAndFound is what mkfs leaves in a file system of its own.
const lostAndFound = "lost+found"

// checkBlank says whether a folder without identity may be formatted.
func checkBlank(fsys vfs.FS, path string, names []string) error {
	for _, name := range names {
		switch {
		case name == lockName, name == lostAndFound, name == identityName+newSuffix, strings.HasPrefix(name, "catalogue."):
		case name == chunksName:
			chunks, err := fsys.List(filepath.Join(path, name))
			if err != nil {
				return err
			}
			if len(chunks) > 0 {
				return fmt.Errorf("%w: %s has chunks, but the disk's identity is gone", ErrForeign, path)
			}
		default:
			return fmt.Errorf("%w: %s is in %s", ErrForeign, name, path)
		}
	}
	return nil
}

// Identify reads who a disk is. Errors: ErrBlank, ErrForeign, format's, those of the file system.
func Identify(fsys vfs.FS, path string) (format.Identity, error) {
	text, err := readFile(fsys, filepath.Join(path, identityName))
	if errors.Is(err, fs.ErrNotExist) {
		names, err := fsys.List(path)
		if errors.Is(err, fs.ErrNotExist) {
			return format.Identity{}, ErrBlank
		}
		if err != nil {
			return format.Identity{}, err
		}
		if err := checkBlank(fsys, path, names); err != nil {
			return format.Identity{}, err
		}
		return format.Identity{}, ErrBlank
	}
	if err != nil {
		return format.Identity{}, err
	}
	return format.ParseIdentity(text)
}

func readFile(fsys vfs.FS, path string) ([]byte, error) {
	file, err := fsys.Open(path, vfs.ReadOnly)
	if err != nil {
		return nil, err
	}
	size, err := file.Size()
	const most = 1 << 16
	text := make([]byte, min(size, most))
	if err == nil {
		_, err = file.ReadAt(text, 0)
	}
	return text, errors.Join(err, file.Close())
}

// install writes a file whole or not at all, durably.
func install(fsys vfs.FS, dir, name string, text []byte) error {
	temporary := filepath.Join(dir, name+newSuffix)
	file, err := fsys.Create(temporary)
	if err != nil {
		return err
	}
	err = func() error {
		if err := writeDurable(file, text); err != nil {
			return err
		}
		if err := fsys.Rename(temporary, filepath.Join(dir, name)); err != nil {
			return err
		}
		if err := fsys.SyncDir(dir); err != nil {
			return err
		}
		// A dying disk may answer nil for a folder's sync; for a file's it does not.
		return file.Datasync()
	}()
	return errors.Join(err, file.Close())
}

// writeNew makes a file that is not there yet, durably.
func writeNew(fsys vfs.FS, dir, name string, text []byte) error {
	file, err := fsys.Create(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	err = writeDurable(file, text)
	if err == nil {
		err = fsys.SyncDir(dir)
	}
	return errors.Join(err, file.Close())
}

func writeDurable(file vfs.File, text []byte) error {
	if err := file.WriteVec(0, text); err != nil {
		return err
	}
	return file.Datasync()
}

// newUUID is a random (version 4) UUID.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
