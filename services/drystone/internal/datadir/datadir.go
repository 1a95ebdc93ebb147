// Package datadir keeps what `drystone up` leaves in its data folder beside the services' own state: the root token,
// the lock, the addresses of the running process, and the record of the topology.
//
//	token            the root token, 0600
//	topology.json    nodes with their places (written by package drystone)
//	etcd/  nodes/    state of the services
//	run/lock         held while a process serves this folder; holds its pid
//	run/endpoint.json  where it listens; removed on a clean stop
package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Default is the data folder of `drystone up`, and where the other commands look when nothing else tells them.
const Default = ".drystone"

// Dir is a data folder.
type Dir struct{ root string }

// At names a data folder. It touches nothing.
func At(root string) Dir { return Dir{root: root} }

// Root is the folder's path.
func (d Dir) Root() string { return d.root }

// Path joins names to the folder's path.
func (d Dir) Path(names ...string) string {
	return filepath.Join(append([]string{d.root}, names...)...)
}

// Make creates the folder and its run folder, for the owner only.
func (d Dir) Make() error {
	if err := os.MkdirAll(d.Path("run"), 0o700); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	return nil
}

// WriteFile replaces a file of the folder atomically and durably: after a crash it holds the old bytes or the new.
func (d Dir) WriteFile(name string, data []byte, mode fs.FileMode) (err error) {
	path := d.Path(name)
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(tmp.Name()))
		}
	}()
	if err := errors.Join(tmp.Chmod(mode), write(tmp, data), tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func write(f *os.File, data []byte) error {
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
