package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drystone-store/drystone/services/etcd/internal/backup"
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

func (w *world) restore(t *testing.T, name, dir, file string, flags ...string) (int, string) {
	t.Helper()
	return command(t, append([]string{
		"restore", "--snapshot", file, "--data-dir", dir, "--name", name,
		"--initial-cluster", w.initialCluster(), "--bump-revision", "1000000",
	}, flags...)...)
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

	// They can be seen without a shell.
	code, out := command(t, "list", "--dir", w.path("snapshots"))
	if code != exitDone || strings.Count(out, "\n") != 2 || !strings.Contains(out, third) || !strings.Contains(out, `"sha256"`) {
		t.Errorf("exit %d: %s", code, out)
	}

	// Two disks are lost, and c's is forgotten. One member is restored, first into the wrong folder.
	w.kill("b", "c")
	w.loseDisk(t, "a", "b")
	w.planned = []string{"a"}
	if code, out := w.restore(t, "a", w.volume("a"), third); code != exitDone {
		t.Fatalf("exit %d: %s", code, out)
	}
	w.planned = w.names
	w.start(t, "a")
	if out := w.fails(t, "a"); !strings.Contains(out, "one folder too high") {
		t.Error(out)
	}
	w.loseDisk(t, "a")
	w.planned = []string{"a"}
	if code, out := w.restore(t, "a", w.dataDir("a"), third); code != exitDone {
		t.Fatalf("exit %d: %s", code, out)
	}

	// It starts alone; c is told that its data are another cluster's, and the others join.
	w.planned = w.names
	w.start(t, "a")
	w.healthy(t, "a")
	w.start(t, "b", "c")
	if out := w.fails(t, "c"); !strings.Contains(out, "belong to the cluster") || !strings.Contains(out, "delete the volume") {
		t.Error(out)
	}
	w.loseDisk(t, "c")
	w.start(t, "c")
	w.healthy(t, w.names...)
	w.want(t, "x", "2", w.names...)
	resp, err := w.connect(t, "b").Get(t.Context(), "x")
	if err != nil || resp.Header.GetRevision() < 1000000 {
		t.Errorf("after a bump of a million: %v, %v", resp, err)
	}

	// Nothing is written over a member.
	if code, out := w.restore(t, "b", w.dataDir("b"), third); code != exitFailed || !strings.Contains(out, "holds a member") {
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
		if code, out := w.restore(t, name, w.dataDir(name), file, "--initial-cluster-token", "restored"); code != exitDone {
			t.Fatalf("exit %d: %s", code, out)
		}
	}
	w.start(t, w.names...)
	w.healthy(t, w.names...)
	w.want(t, "x", "1", w.names...)
}

// A cluster that was made anew has the id of the one that was lost; its snapshots push out none of that.
func TestSnapshotsOfAClusterThatWasMadeAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	w.start(t, "a")
	w.healthy(t, "a")
	for range 5 {
		w.put(t, "x", "1", "a")
	}
	good, _ := w.snapshot(t, "1", w.through())
	w.kill("a")
	w.loseDisk(t, "a")
	w.start(t, "a")
	w.healthy(t, "a")
	for range 8 { // In the end its revision is beyond the other's.
		w.put(t, "x", "2", "a")
		if made, removed := w.snapshot(t, "1", w.through()); slices.Contains(removed, filepath.Base(good)) {
			t.Errorf("%s removed %v", made, removed)
		}
	}
	all, err := backup.List(w.path("snapshots"))
	if err != nil || len(all) != 3 || all[0].File != good || all[1].Cluster != all[0].Cluster || all[2].Revision <= all[0].Revision {
		t.Errorf("snapshots: %+v, %v", all, err)
	}
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
		if code, out := w.restore(t, "a", w.dataDir("a"), filepath.Join(dir, file)); code != exitFailed || !strings.Contains(out, says) {
			t.Errorf("%s: exit %d: %s", file, code, out)
		}
	}
	if _, err := os.Stat(w.dataDir("a")); !os.IsNotExist(err) {
		t.Errorf("data were begun: %v", err)
	}
}
