// Package crashfs is a file system in memory that forgets like a disk whose power is cut: CrashClone keeps what was
// synced and a random part of what was not, sector by sector and name by name.
//
// Constraints:
//
//  1. A sector (512 bytes) is old or new, never mixed; sectors and names survive independently of each other.
//  2. A file's bytes survive only under a name that survives.
//  3. Operations that change something are counted; a hook sees each one before it happens.
package crashfs

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
)

const sectorSize = 512

// defaultCapacity is the size of the pretended disk: enough for tests that do not care.
const defaultCapacity = 1 << 40

// FS is the file system. Use New.
type FS struct {
	mu       sync.Mutex
	folders  map[string]*folder
	locks    map[string]bool
	capacity int64
	used     int64
	ops      int
	hook     func(op int, f *FS)
}

type folder struct {
	// now is what a running process sees, durable what survives for sure.
	now, durable map[string]*inode
	// pending are the changes since the last SyncDir, oldest first.
	pending []change
}

// change is one atomic change of names: each entry's name gets its inode, nil removes it.
type change map[string]*inode

type inode struct {
	folder bool

	data    []byte
	durable []byte
	// dirty are the sectors written since the last sync.
	dirty map[int64]struct{}
}

var _ vfs.FS = (*FS)(nil)

// New makes an empty file system that has the folder "/" alone.
func New() *FS {
	return &FS{folders: map[string]*folder{"/": newFolder()}, locks: map[string]bool{}, capacity: defaultCapacity}
}

func newFolder() *folder {
	return &folder{now: map[string]*inode{}, durable: map[string]*inode{}}
}

// SetCapacity makes space run out (ENOSPC) once files hold that many bytes.
func (f *FS) SetCapacity(bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.capacity = bytes
}

// OnOp calls hook before each changing operation with its number, from 1; the hook may call CloneLocked.
func (f *FS) OnOp(hook func(op int, f *FS)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = hook
}

// Ops is how many changing operations there were.
func (f *FS) Ops() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ops
}

// CrashClone is the disk after a power cut now. keep is the chance of each unsynced sector and name to survive, 0 to 1.
func (f *FS) CrashClone(rng *rand.Rand, keep float64) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.CloneLocked(rng, keep)
}

// CloneLocked is CrashClone for a hook.
func (f *FS) CloneLocked(rng *rand.Rand, keep float64) *FS {
	clone := &FS{folders: map[string]*folder{}, locks: map[string]bool{}, capacity: f.capacity}
	inodes := map[*inode]*inode{}
	for _, name := range slices.Sorted(maps.Keys(f.folders)) {
		from, to := f.folders[name], newFolder()
		survivors := maps.Clone(from.durable)
		for _, c := range from.pending {
			if rng.Float64() < keep {
				c.apply(survivors)
			}
		}
		for _, file := range slices.Sorted(maps.Keys(survivors)) {
			node := survivors[file]
			if inodes[node] == nil {
				inodes[node] = node.crash(rng, keep)
				clone.used += int64(len(inodes[node].data))
			}
			to.now[file], to.durable[file] = inodes[node], inodes[node]
		}
		clone.folders[name] = to
	}
	clone.dropUnreachable()
	return clone
}

// dropUnreachable removes folders whose name did not survive.
func (f *FS) dropUnreachable() {
	for name := range f.folders {
		for at := name; at != "/"; at = path.Dir(at) {
			up := f.folders[path.Dir(at)]
			if up == nil || up.now[path.Base(at)] == nil {
				delete(f.folders, name)
				break
			}
		}
	}
}

func (c change) apply(names map[string]*inode) {
	for name, node := range c {
		if node == nil {
			delete(names, name)
		} else {
			names[name] = node
		}
	}
}

// crash is the file after a power cut: its synced bytes with some of the unsynced sectors. A length that was not
// synced survives or not as one more coin says; sectors beyond the length that survives are lost with it.
func (n *inode) crash(rng *rand.Rand, keep float64) *inode {
	out := &inode{folder: n.folder, dirty: map[int64]struct{}{}}
	size := len(n.durable)
	if len(n.data) != size && rng.Float64() < keep {
		size = len(n.data)
	}
	out.data = make([]byte, size)
	copy(out.data, n.durable)
	for _, sector := range slices.Sorted(maps.Keys(n.dirty)) {
		from := int(sector) * sectorSize
		to := min(from+sectorSize, size)
		if from >= size || rng.Float64() >= keep {
			continue
		}
		clear(out.data[from:to])
		if from < len(n.data) {
			copy(out.data[from:to], n.data[from:])
		}
	}
	out.durable = slices.Clone(out.data)
	return out
}

// touch counts a changing operation and calls the hook; the lock is held.
func (f *FS) touch() {
	f.ops++
	if f.hook != nil {
		f.hook(f.ops, f)
	}
}

// in finds the folder that holds name; the lock is held.
func (f *FS) in(op, name string) (*folder, string, error) {
	dir := f.folders[path.Dir(name)]
	if dir == nil {
		return nil, "", &fs.PathError{Op: op, Path: name, Err: unix.ENOENT}
	}
	return dir, path.Base(name), nil
}

func (d *folder) change(c change) {
	c.apply(d.now)
	d.pending = append(d.pending, c)
}

// Create implements vfs.Files.
func (f *FS) Create(name string) (vfs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir, base, err := f.in("create", name)
	if err != nil {
		return nil, err
	}
	if dir.now[base] != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: unix.EEXIST}
	}
	f.touch()
	node := &inode{dirty: map[int64]struct{}{}}
	dir.change(change{base: node})
	return &file{fs: f, inode: node, name: name}, nil
}

// Open implements vfs.Files.
func (f *FS) Open(name string, mode vfs.Mode) (vfs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir, base, err := f.in("open", name)
	if err != nil {
		return nil, err
	}
	node := dir.now[base]
	if node == nil || node.folder {
		return nil, &fs.PathError{Op: "open", Path: name, Err: unix.ENOENT}
	}
	return &file{fs: f, inode: node, name: name, readOnly: mode == vfs.ReadOnly}, nil
}

// Rename implements vfs.Files, within one folder only.
func (f *FS) Rename(oldName, newName string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir, from, err := f.in("rename", oldName)
	if err != nil {
		return err
	}
	if path.Dir(oldName) != path.Dir(newName) || dir.now[from] == nil {
		return &fs.PathError{Op: "rename", Path: oldName, Err: unix.ENOENT}
	}
	f.touch()
	dir.change(change{path.Base(newName): dir.now[from], from: nil})
	return nil
}

// Remove implements vfs.Files. The space of an open file is given back at once.
func (f *FS) Remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir, base, err := f.in("remove", name)
	if err != nil {
		return err
	}
	node := dir.now[base]
	if node == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: unix.ENOENT}
	}
	f.touch()
	f.used -= int64(len(node.data))
	dir.change(change{base: nil})
	return nil
}

// Mkdir implements vfs.Folders.
func (f *FS) Mkdir(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir, base, err := f.in("mkdir", name)
	if err != nil {
		return err
	}
	if dir.now[base] != nil {
		return &fs.PathError{Op: "mkdir", Path: name, Err: unix.EEXIST}
	}
	f.touch()
	dir.change(change{base: {folder: true, dirty: map[int64]struct{}{}}})
	f.folders[name] = newFolder()
	return nil
}

// List implements vfs.Folders.
func (f *FS) List(name string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir := f.folders[name]
	if dir == nil {
		return nil, &fs.PathError{Op: "list", Path: name, Err: unix.ENOENT}
	}
	return slices.Sorted(maps.Keys(dir.now)), nil
}

// SyncDir implements vfs.Folders.
func (f *FS) SyncDir(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir := f.folders[name]
	if dir == nil {
		return &fs.PathError{Op: "syncdir", Path: name, Err: unix.ENOENT}
	}
	f.touch()
	dir.durable = maps.Clone(dir.now)
	dir.pending = nil
	return nil
}

// Usage implements vfs.Volume.
func (f *FS) Usage(string) (vfs.Usage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return vfs.Usage{Capacity: f.capacity, Free: f.capacity - f.used}, nil
}

// Lock implements vfs.Volume; a clone's locks are free.
func (f *FS) Lock(name string) (io.Closer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir, base, err := f.in("lock", name)
	if err != nil {
		return nil, err
	}
	if f.locks[name] {
		return nil, fmt.Errorf("lock %s: %w", name, vfs.ErrLocked)
	}
	if dir.now[base] == nil {
		dir.change(change{base: {dirty: map[int64]struct{}{}}})
	}
	f.locks[name] = true
	return &lock{fs: f, name: name}, nil
}

type lock struct {
	fs   *FS
	name string
}

func (l *lock) Close() error {
	l.fs.mu.Lock()
	defer l.fs.mu.Unlock()
	delete(l.fs.locks, l.name)
	return nil
}
