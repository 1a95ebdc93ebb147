package backup

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// partSuffix marks what is being written.
const partSuffix = ".drystone-part"

// saved is a snapshot in a folder, as its name has it.
type saved struct {
	name     string
	cluster  string
	revision int64
}

// fileName sorts by time.
func fileName(at time.Time, cluster uint64, revision int64) string {
	return fmt.Sprintf("etcd-%s-c%016x-r%d.db", at.UTC().Format("20060102T150405.000Z"), cluster, revision)
}

// snapshots finds those of this program in a folder, in the order of time. Other files are not its business.
func snapshots(dir string) ([]saved, error) {
	ours := regexp.MustCompile(`^etcd-\d{8}T\d{6}\.\d{3}Z-c([0-9a-f]{16})-r(\d+)\.db$`)
	entries, err := os.ReadDir(dir) // sorted by name, so by time
	if err != nil {
		return nil, fmt.Errorf("look for snapshots: %w", err)
	}
	var all []saved
	for _, e := range entries {
		parts := ours.FindStringSubmatch(e.Name())
		if parts == nil {
			continue
		}
		revision, err := strconv.ParseInt(parts[2], 10, 64)
		if err != nil {
			continue // No revision is that large.
		}
		all = append(all, saved{name: e.Name(), cluster: parts[1], revision: revision})
	}
	return all, nil
}

// life are the snapshots of the life of a cluster's data that one of them, made, belongs to. A revision never falls by
// itself: where it does, the data were lost, or went back, and a cluster that was made anew by the same plan has even the
// same id. What was saved before is then worth more than ever, and the first snapshot after it stays as the mark: without
// it, the two lives would look like one as soon as the revision has passed.
func life(all []saved, made string) []saved {
	at := slices.IndexFunc(all, func(s saved) bool { return s.name == made })
	if at < 0 {
		return nil
	}
	cluster := all[at].cluster
	same := slices.DeleteFunc(slices.Clone(all), func(s saved) bool { return s.cluster != cluster })
	at = slices.IndexFunc(same, func(s saved) bool { return s.name == made })
	from, to := at, at+1
	for from > 0 && same[from-1].revision <= same[from].revision {
		from--
	}
	for to < len(same) && same[to-1].revision <= same[to].revision {
		to++
	}
	if from > 0 {
		from++ // The mark.
	}
	return same[from:to]
}

// prune removes all but the newest snapshots of the life that one belongs to, never that one itself, wherever the clock
// has put it. It returns their names.
func prune(dir string, keep int, made string) ([]string, error) {
	all, err := snapshots(dir)
	if err != nil {
		return nil, err
	}
	removed := []string{}
	candidates := life(all, made)
	over := len(candidates) - keep
	for _, s := range candidates {
		if len(removed) >= over {
			break
		}
		if s.name == made {
			continue
		}
		if err := os.Remove(filepath.Join(dir, s.name)); err != nil {
			return removed, fmt.Errorf("remove an old snapshot: %w", err)
		}
		removed = append(removed, s.name)
	}
	return removed, nil
}

// sweep removes what other runs began before a time and left behind.
func sweep(dir string, before time.Time) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("look for what runs left behind: %w", err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), partSuffix) {
			continue
		}
		info, err := e.Info()
		if err != nil || info.ModTime().After(before) {
			continue // It went meanwhile, or somebody is at it.
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("remove what a run left behind: %w", err)
		}
	}
	return nil
}
