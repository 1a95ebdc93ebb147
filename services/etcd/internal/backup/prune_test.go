package backup

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// at is a name of a day in January.
func at(day int, cluster uint64, revision int64) string {
	return fileName(time.Date(2026, 1, day, 3, 4, 5, 0, time.UTC), cluster, revision)
}

func TestPrune(t *testing.T) {
	const other = 0xf00
	for name, tt := range map[string]struct {
		keep    int
		before  []string
		made    string
		removed []string
	}{
		"the oldest go":                              {2, []string{at(1, 1, 5), at(2, 1, 6), at(3, 1, 6)}, at(4, 1, 7), []string{at(1, 1, 5), at(2, 1, 6)}},
		"fewer than are kept":                        {5, []string{at(1, 1, 5), at(2, 1, 6)}, at(3, 1, 7), []string{}},
		"another cluster's stay":                     {1, []string{at(1, other, 5), at(2, other, 6), at(3, 1, 7)}, at(4, 1, 8), []string{at(3, 1, 7)}},
		"of a cluster that was made anew, the first": {2, []string{at(1, 1, 500), at(2, 1, 600), at(3, 1, 700)}, at(4, 1, 2), []string{}},
		"made anew, and a while later": {
			2,
			[]string{at(1, 1, 500), at(2, 1, 600), at(3, 1, 700), at(4, 1, 2), at(5, 1, 3), at(6, 1, 4)},
			at(7, 1, 5),
			[]string{at(5, 1, 3)},
		},
		"made anew, and further than the one before": {
			1, []string{at(1, 1, 500), at(2, 1, 700), at(3, 1, 2), at(4, 1, 400)}, at(5, 1, 900), []string{at(4, 1, 400)},
		},
		"the clock went back, and time passed": {2, []string{at(11, 1, 5), at(12, 1, 5)}, at(3, 1, 5), []string{at(11, 1, 5)}},
		"the clock went back":                  {1, []string{at(11, 1, 5), at(12, 1, 6)}, at(3, 1, 7), []string{}},
		"the clock went back a while ago":      {1, []string{at(3, 1, 7), at(11, 1, 5), at(12, 1, 6)}, at(4, 1, 8), []string{at(3, 1, 7)}},
		"other files are not its business": {
			1, []string{at(1, 1, 5), "etcd-20260101T030405.000Z-r900.db", "etcd-mine.db", "notes.txt"}, at(2, 1, 6), []string{at(1, 1, 5)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, file := range append(tt.before, tt.made) {
				write(t, dir, file)
			}
			removed, err := prune(dir, tt.keep, tt.made)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.removed, removed); diff != "" {
				t.Errorf("removed (-want +got):\n%s", diff)
			}
			for _, file := range removed {
				if _, err := os.Stat(filepath.Join(dir, file)); !os.IsNotExist(err) {
					t.Errorf("%s: %v", file, err)
				}
			}
			if got := files(t, dir); len(got) != len(tt.before)+1-len(removed) {
				t.Errorf("left: %v", got)
			}
		})
	}
}

// An empty cluster's snapshots, however many, never push out what was saved before all was lost.
func TestEmptinessPushesNothingOut(t *testing.T) {
	dir := t.TempDir()
	var good []string
	for day := range 3 {
		good = append(good, at(day+1, 1, int64(1000+day)))
		write(t, dir, good[day])
	}
	for i := range int64(40) {
		made := fileName(time.Date(2026, 2, 1, 0, 0, int(i), 0, time.UTC), 1, 1+100*i) // In the end it passes the old one.
		write(t, dir, made)
		if _, err := prune(dir, 3, made); err != nil {
			t.Fatal(err)
		}
	}
	left := files(t, dir)
	if diff := cmp.Diff(good, left[:3]); diff != "" {
		t.Errorf("the good ones (-want +got):\n%s", diff)
	}
	// Three that are kept, and the first as the mark.
	if len(left) != 3+3+1 {
		t.Errorf("left: %v", left)
	}
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	for _, file := range []string{"old" + partSuffix, "new" + partSuffix, "old.txt"} {
		write(t, dir, file)
	}
	now := time.Now()
	for _, file := range []string{"old" + partSuffix, "old.txt"} {
		if err := os.Chtimes(filepath.Join(dir, file), now.Add(-time.Hour), now.Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if err := sweep(dir, now.Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"new" + partSuffix, "old.txt"}, files(t, dir)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

func write(t *testing.T, dir, file string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
