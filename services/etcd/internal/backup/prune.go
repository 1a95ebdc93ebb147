package backup

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// partSuffix marks what is being written.
const partSuffix = ".drystone-part"

// fileName sorts by time, whatever revisions do.
func fileName(at time.Time, revision int64) string {
	return fmt.Sprintf("etcd-%s-r%d.db", at.UTC().Format("20060102T150405.000Z"), revision)
}

// prune removes all but the newest snapshots, and what other runs began before a time and left behind. Files that this
// program did not name stay. It returns the names of the removed snapshots.
func prune(dir string, keep int, left time.Time) ([]string, error) {
	ours := regexp.MustCompile(`^etcd-\d{8}T\d{6}\.\d{3}Z-r\d+\.db$`)
	entries, err := os.ReadDir(dir) // sorted by name, so by time
	if err != nil {
		return nil, fmt.Errorf("look for old snapshots: %w", err)
	}
	var snapshots []string
	for _, e := range entries {
		switch {
		case ours.MatchString(e.Name()):
			snapshots = append(snapshots, e.Name())
		case strings.HasSuffix(e.Name(), partSuffix):
			info, err := e.Info()
			if err != nil || info.ModTime().After(left) {
				continue // It went meanwhile, or somebody is at it.
			}
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return nil, fmt.Errorf("remove what a run left behind: %w", err)
			}
		}
	}
	removed := []string{}
	for _, name := range snapshots[:max(0, len(snapshots)-keep)] {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			return removed, fmt.Errorf("remove an old snapshot: %w", err)
		}
		removed = append(removed, name)
	}
	return removed, nil
}
