package cli

import (
	"context"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"unicode/utf8"
)

// folder stores every file below root. Links to files are followed; links to folders and special files are named and
// left out.
func (p *putter) folder(ctx context.Context, root string, to target) error {
	info, err := os.Stat(root)
	switch {
	case err != nil:
		return fmt.Errorf("put: %w", err)
	case !info.IsDir():
		return usagef("%s is not a folder: leave -r out", root)
	}
	return inParallel(ctx, p.files(root), func(ctx context.Context, name string) error {
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return fmt.Errorf("put %s: %w", name, err)
		}
		if !utf8.ValidString(rel) {
			return fmt.Errorf("put %q: the name is not UTF-8, and keys are", name)
		}
		return p.file(ctx, name, target{to.bucket, to.folder() + filepath.ToSlash(rel)})
	})
}

func (p *putter) files(root string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() {
				return nil
			}
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			if !info.Mode().IsRegular() {
				p.line.Wipe()
				_, _ = fmt.Fprintf(p.Err, "drystone: left out %s: not a regular file\n", path)
				return nil
			}
			if !yield(path, nil) {
				return filepath.SkipAll
			}
			return nil
		})
		if err != nil {
			yield("", fmt.Errorf("put: %w", err))
		}
	}
}
