package backup

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPrune(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, tt := range map[string]struct {
		keep    int
		removed []string
		left    []string
	}{
		"the oldest go, whatever their revision": {
			1,
			[]string{"etcd-20260101T030405.000Z-r900.db", "etcd-20260102T030405.000Z-r5.db"},
			[]string{"etcd-20260103T030405.000Z-r10.db", "etcd-mine.db", "new.drystone-part", "notes.txt"},
		},
		"fewer than are kept": {
			5,
			[]string{},
			[]string{
				"etcd-20260101T030405.000Z-r900.db", "etcd-20260102T030405.000Z-r5.db", "etcd-20260103T030405.000Z-r10.db",
				"etcd-mine.db", "new.drystone-part", "notes.txt",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, file := range []string{
				fileName(at.AddDate(0, 0, 1), 10), fileName(at, 5), fileName(at.AddDate(0, 0, -1), 900),
				"etcd-mine.db", "notes.txt", "old.drystone-part", "new.drystone-part",
			} {
				if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			now := time.Now()
			if err := os.Chtimes(filepath.Join(dir, "old.drystone-part"), now.Add(-time.Hour), now.Add(-time.Hour)); err != nil {
				t.Fatal(err)
			}
			removed, err := prune(dir, tt.keep, now.Add(-time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.removed, removed); diff != "" {
				t.Errorf("removed (-want +got):\n%s", diff)
			}
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			var left []string
			for _, e := range entries {
				left = append(left, e.Name())
			}
			if diff := cmp.Diff(tt.left, left); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
		})
	}
}
