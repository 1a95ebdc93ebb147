package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"unicode/utf8"
)

// folder stores every file below root. Links to files are followed; links to folders and special files are named and
// left out. What cannot be read is named and makes an error in the end.
func (p *putter) folder(ctx context.Context, root string, to target) error {
	info, err := os.Stat(root)
	switch {
	case err != nil:
		return fmt.Errorf("put: %w", err)
	case !info.IsDir():
		return usagef("%s is not a folder: leave -r out", root)
	}
	err = inParallel(ctx, p.files(root), func(ctx context.Context, name string) error {
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return fmt.Errorf("put %s: %w", name, err)
		}
		if !utf8.ValidString(rel) {
			return fmt.Errorf("put %q: the name is not UTF-8, and keys are", name)
		}
		f, err := os.Open(name)
		if err != nil {
			p.unreadable(err)
			return nil
		}
		return p.opened(ctx, name, f, target{to.bucket, to.folder() + filepath.ToSlash(rel)})
	})
	if p.unread > 0 {
		err = errors.Join(err, fmt.Errorf("put %s: %d of it could not be read and is not stored", root, p.unread))
	}
	return err
}

// unreadable names at once what cannot be read. However much it is, the rest is stored: it says nothing about the
// server.
func (p *putter) unreadable(err error) {
	p.outMu.Lock()
	defer p.outMu.Unlock()
	p.unread++
	p.line.Wipe()
	p.complain(fmt.Errorf("put: %w", err))
}

// files yields the regular files below root.
func (p *putter) files(root string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				return nil
			}
			var info fs.FileInfo
			if err == nil {
				info, err = os.Stat(path)
			}
			switch {
			case err != nil:
				p.unreadable(err) // A folder is left; what could be listed of it still comes.
			case !info.Mode().IsRegular():
				p.line.Wipe()
				_, _ = fmt.Fprintf(p.Err, "drystone: left out %s: not a regular file\n", path)
			case !yield(path, nil):
				return filepath.SkipAll
			}
			return nil
		})
		if err != nil {
			yield("", fmt.Errorf("put: %w", err))
		}
	}
}
