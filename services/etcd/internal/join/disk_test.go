package join

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Who restored into the wrong folder is told, or the members would make an empty cluster.
func TestDataInTheWrongFolder(t *testing.T) {
	for name, tt := range map[string]struct {
		has  string // below the data folder
		wal  string // --wal-dir, below the data folder
		says string // nothing: it waits
	}{
		"nothing":                       {"", "", ""},
		"one folder too high":           {"wal", "", "one folder too high"},
		"its snapshots too high":        {"snap", "", "one folder too high"},
		"one folder too low":            {"member/member/wal", "", "one folder too low"},
		"its snapshots too low":         {"member/member/snap", "", "one folder too low"},
		"a folder for the log":          {"wal", "wal", ""},
		"the other folder beside it":    {"snap", "wal", "one folder too high"},
		"something else":                {"walrus", "", ""},
		"the rest of another life":      {"member.without-log/snap", "", ""},
		"a database without a log":      {"member/snap", "", ""},
		"a volume's own kind of folder": {"lost+found", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := plan(t, map[string]string{"a": "http://a:1", "b": "http://127.0.0.1:1"})
			s.DataDir, s.Timeout = t.TempDir(), 50*time.Millisecond
			s.WALDir = filepath.Join(s.DataDir, "member", "wal")
			if tt.wal != "" {
				s.WALDir = filepath.Join(s.DataDir, tt.wal)
			}
			if err := os.MkdirAll(filepath.Join(s.DataDir, tt.has), 0o700); err != nil {
				t.Fatal(err)
			}
			says := tt.says
			if says == "" {
				says = "no way into the cluster"
			}
			if _, err := Join(t.Context(), s, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("got %v, want %q", err, says)
			}
			if _, err := os.Stat(filepath.Join(s.DataDir, tt.has)); tt.says != "" && err != nil {
				t.Errorf("it was moved: %v", err)
			}
		})
	}
}
