package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// partial is a file that has no name of its own until it is whole.
type partial struct {
	dir       *os.Root
	file      *os.File
	tmp, name string
}

// createPartial begins the file name of dir under a temporary name beside it.
func createPartial(dir *os.Root, name string) (*partial, error) {
	tmp := filepath.Join(filepath.Dir(name), ".drystone-"+rand.Text()+".partial")
	f, err := dir.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, err
	}
	return &partial{dir: dir, file: f, tmp: tmp, name: name}, nil
}

// publish gives the file its name; after a crash it is there whole, or not at all.
func (p *partial) publish() error {
	err := errors.Join(p.file.Sync(), p.file.Close())
	if err == nil {
		err = p.dir.Rename(p.tmp, p.name)
	}
	if err != nil {
		return errors.Join(err, p.dir.Remove(p.tmp))
	}
	return nil
}

// discard removes the file.
func (p *partial) discard() error {
	_ = p.file.Close() // Its bytes are not wanted.
	if err := p.dir.Remove(p.tmp); err != nil {
		return fmt.Errorf("remove the partial file: %w", err)
	}
	return nil
}
