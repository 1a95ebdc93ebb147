package backup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Listed is a snapshot in a folder.
type Listed struct {
	File  string `json:"file"`
	Bytes int64  `json:"bytes"`
	// Cluster and Revision are what the file's name says.
	Cluster  string `json:"cluster"`
	Revision int64  `json:"revision"`
	SHA256   string `json:"sha256,omitempty"`
	// Damaged says what is wrong with it.
	Damaged string `json:"damaged,omitempty"`
}

// List reads all snapshots of a folder that Take made, in the order of time. Errors: those of reading; a damaged file is
// none.
func List(dir string) ([]Listed, error) {
	all, err := snapshots(dir)
	if err != nil {
		return nil, err
	}
	var out []Listed
	for _, s := range all {
		one := Listed{File: filepath.Join(dir, s.name), Cluster: s.cluster, Revision: s.revision}
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
