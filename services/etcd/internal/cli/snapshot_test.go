package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// command runs a command of this program that ends.
func command(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	var buf lockedBuffer
	code = Main(args, Streams{Out: &buf, Err: &buf})
	return code, buf.String()
}

func (w *world) snapshot(t *testing.T, keep string, endpoints string) (file string, removed []string) {
	t.Helper()
	code, out := command(t, "snapshot", "--endpoints", endpoints, "--dir", w.path("snapshots"), "--keep", keep,
		"--cacert", w.path("ca.crt"), "--cert", w.path("client.crt"), "--key", w.path("client.key"))
	if code != exitDone {
		t.Fatalf("exit %d: %s", code, out)
	}
	var taken struct {
		File     string
		Revision int64
		SHA256   string
		Removed  []string
	}
	if err := json.Unmarshal([]byte(out), &taken); err != nil || taken.Revision < 2 || len(taken.SHA256) != 64 {
		t.Fatalf("%s: %v", out, err)
	}
	return taken.File, taken.Removed
}

func (w *world) restore(t *testing.T, name, file string) (int, string) {
	t.Helper()
	return command(t, "restore", "--snapshot", file, "--data-dir", w.dataDir(name), "--name", name,
		"--initial-cluster", w.initialCluster(), "--initial-cluster-token", "restored", "--bump-revision", "1000000")
}

func TestSnapshotAndRestore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b", "c")
	w.start(t, w.names...)
	w.healthy(t, w.names...)
	w.put(t, "x", "1", w.names...)
	first, _ := w.snapshot(t, "2", w.through())
	w.put(t, "x", "2", w.names...)

	// One member down does not matter, and the oldest go.
	w.kill("a")
	second, removed := w.snapshot(t, "2", w.through())
	if len(removed) > 0 {
		t.Errorf("removed %v", removed)
	}
	third, removed := w.snapshot(t, "2", w.through())
	if diff := cmp.Diff([]string{filepath.Base(first)}, removed); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
	files, err := filepath.Glob(w.path("snapshots", "*"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{second, third}, files); diff != "" {
		t.Errorf("snapshots (-want +got):\n%s", diff)
	}

	// All disks are lost: one member is restored, the others join it.
	w.kill("b", "c")
	w.loseDisk(t, w.names...)
	w.planned = []string{"b"}
	if code, out := w.restore(t, "b", third); code != exitDone {
		t.Fatalf("exit %d: %s", code, out)
	}
	w.planned = w.names
	w.start(t, w.names...)
	w.healthy(t, w.names...)
	w.want(t, "x", "2", w.names...)
	resp, err := w.connect(t, "a").Get(t.Context(), "x")
	if err != nil || resp.Header.GetRevision() < 1000000 {
		t.Errorf("after a bump of a million: %v, %v", resp, err)
	}

	// Nothing is written over a member.
	if code, out := w.restore(t, "b", third); code != exitFailed || !strings.Contains(out, "holds a member") {
		t.Errorf("exit %d: %s", code, out)
	}
}

// All members restored from one file are one cluster, as etcd's own tools do it.
func TestARestoreOfAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b", "c")
	w.start(t, w.names...)
	w.healthy(t, w.names...)
	w.put(t, "x", "1", w.names...)
	file, _ := w.snapshot(t, "1", w.client["b"])
	w.kill(w.names...)
	w.loseDisk(t, w.names...)
	for _, name := range w.names {
		if code, out := w.restore(t, name, file); code != exitDone {
			t.Fatalf("exit %d: %s", code, out)
		}
	}
	w.start(t, w.names...)
	w.healthy(t, w.names...)
	w.want(t, "x", "1", w.names...)
}

func TestSnapshotsThatFail(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	dir := w.path("snapshots")
	code, out := command(t, "snapshot", "--endpoints", w.client["a"], "--dir", dir, "--timeout", "2s", "--cacert", w.path("ca.crt"))
	if code != exitFailed || !strings.Contains(out, "find a member to save") {
		t.Errorf("exit %d: %s", code, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "bad.db"), make([]byte, 512+32), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, says := range map[string]string{"bad.db": "damaged", "none.db": "no such file"} {
		if code, out := w.restore(t, "a", filepath.Join(dir, file)); code != exitFailed || !strings.Contains(out, says) {
			t.Errorf("%s: exit %d: %s", file, code, out)
		}
	}
	if _, err := os.Stat(w.dataDir("a")); !os.IsNotExist(err) {
		t.Errorf("data were begun: %v", err)
	}
}
