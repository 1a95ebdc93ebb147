package backup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Listed is a snapshot in a folder.
type Listed struct {
	File  string `json:"file"`
	Bytes int64  `json:"bytes"`
	// Cluster and Revision are what the file's name says, if Take gave it.
	Cluster  string `json:"cluster,omitempty"`
	Revision int64  `json:"revision,omitempty"`
	SHA256   string `json:"sha256,omitempty"`
	// Damaged says what is wrong with it.
	Damaged string `json:"damaged,omitempty"`
}

// List reads all snapshots of a folder, whoever made them, in the order of their names. Errors: those of reading; a damaged
// file is none.
func List(dir string) ([]Listed, error) {
	ours, err := snapshots(dir)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("look for snapshots: %w", err)
	}
	var out []Listed
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".db" {
			continue
		}
		one := Listed{File: filepath.Join(dir, e.Name())}
		if i := slices.IndexFunc(ours, func(s saved) bool { return s.name == e.Name() }); i >= 0 {
			one.Cluster, one.Revision = ours[i].cluster, ours[i].revision
		}
		one.SHA256, one.Bytes, err = Verify(one.File)
		switch {
		case errors.Is(err, os.ErrNotExist):
			continue // A run made room.
		case errors.Is(err, ErrDamaged):
			one.Damaged = err.Error()
		case err != nil:
			return nil, fmt.Errorf("list snapshots: %w", err)
		}
		out = append(out, one)
	}
	return out, nil
}
