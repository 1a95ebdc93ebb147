package cli

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestThreeMembersWhoseDisksComeAndGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b", "c")
	all := w.names

	// All at once, for the first time.
	begun := time.Now()
	w.start(t, all...)
	w.healthy(t, all...)
	t.Logf("a new cluster after %s", time.Since(begun).Round(time.Millisecond))
	w.put(t, "x", "1", all...)
	before := w.ids(t, "a")

	// A member that restarts with its data stays who it is.
	w.kill("b")
	w.put(t, "x", "2", "a", "c")
	w.start(t, "b")
	w.healthy(t, all...)
	w.want(t, "x", "2", all...)
	if got := w.ids(t, "a"); got["b"] != before["b"] {
		t.Errorf("b was %x and is %x", before["b"], got["b"])
	}

	// One whose disk was lost comes back as another.
	w.kill("c")
	w.loseDisk(t, "c")
	w.put(t, "x", "3", "a", "b")
	begun = time.Now()
	w.start(t, "c")
	w.healthy(t, all...)
	t.Logf("a lost member is back after %s", time.Since(begun).Round(time.Millisecond))
	w.want(t, "x", "3", all...)
	if got := w.ids(t, "a"); got["c"] == before["c"] || got["a"] != before["a"] {
		t.Errorf("ids were %x and are %x", before, got)
	}

	// All of them at once, with data.
	w.kill(all...)
	w.start(t, all...)
	w.healthy(t, all...)
	w.want(t, "x", "3", all...)

	// The new member survives alone with one old one.
	w.kill("a")
	w.put(t, "x", "4", "b", "c")
	w.want(t, "x", "4", "b", "c")
}

// An empty disk must not vote for what it has forgotten: a member without data waits for a quorum of those that have theirs.
func TestALostDiskWaitsForTheQuorum(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b", "c")
	w.start(t, w.names...)
	w.healthy(t, w.names...)
	w.put(t, "x", "1", w.names...)
	w.kill(w.names...)

	// Nobody else is there: no second cluster is made.
	w.loseDisk(t, "c")
	w.start(t, "c")
	w.says(t, "c", "nobody knows of a cluster")

	// One other is there, without a quorum.
	w.start(t, "a")
	w.says(t, "c", "only with a quorum")
	if _, err := os.Stat(filepath.Join(w.dataDir("c"), "member")); !os.IsNotExist(err) {
		t.Errorf("c has begun: %v", err)
	}

	w.start(t, "b")
	w.healthy(t, w.names...)
	w.want(t, "x", "1", w.names...)
}

// The first start waits for all of them, whatever their order.
func TestAFirstStartOneByOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b", "c")
	w.start(t, "a")
	w.says(t, "a", "no answer from b")
	// Whoever watches it sees that it lives, however long that takes.
	w.probe(t, "a", "/livez", http.StatusOK)
	w.probe(t, "a", "/readyz", http.StatusServiceUnavailable)
	w.start(t, "b")
	w.says(t, "b", "no answer from c")
	w.start(t, "c")
	w.healthy(t, w.names...)
	// The same address is etcd's now.
	w.probe(t, "a", "/livez", http.StatusOK)
	w.probe(t, "a", "/readyz", http.StatusOK)
	w.probe(t, "a", "/metrics", http.StatusOK)
}

// probe waits until a member answers so.
func (w *world) probe(t *testing.T, name, path string, want int) {
	t.Helper()
	until(t, fmt.Sprintf("%s answers %s with %d", name, path, want), func() bool {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.metrics[name]+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == want
	})
}

// A place of a learner is for people: nobody else would ever let it vote.
func TestALearnersPlaceIsNotTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b")
	w.planned = []string{"a"}
	w.start(t, "a")
	w.healthy(t, "a")
	client := w.connect(t, "a")
	until(t, "b is added as a learner", func() bool {
		_, err := client.MemberAddAsLearner(t.Context(), []string{w.peer["b"]})
		return err == nil
	})
	w.planned = w.names
	w.start(t, "b")
	w.says(t, "b", "member remove")
	until(t, "b's place is removed", func() bool {
		list, err := client.MemberList(t.Context())
		if err != nil {
			return false
		}
		for _, m := range list.Members {
			if m.GetIsLearner() {
				_, err = client.MemberRemove(t.Context(), m.GetID())
			}
		}
		return err == nil
	})
	// It goes on by itself.
	w.healthy(t, w.names...)
}

func TestARemovedMemberSaysWhatToDo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b", "c")
	w.start(t, w.names...)
	w.healthy(t, w.names...)
	w.kill("c")
	client := w.connect(t, "a", "b")
	until(t, "c is removed", func() bool {
		_, err := client.MemberRemove(t.Context(), w.ids(t, "a")["c"])
		return err == nil
	})
	w.start(t, "c")
	if out := w.fails(t, "c"); !strings.Contains(out, "was removed from the cluster") || !strings.Contains(out, "delete the volume") {
		t.Error(out)
	}
	// It does what it was told.
	w.loseDisk(t, "c")
	w.start(t, "c")
	w.healthy(t, w.names...)
}

// A cluster grows by the plan: members that are new to it add themselves.
func TestGrowing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b", "c")
	w.planned = []string{"a"}
	w.start(t, "a")
	w.healthy(t, "a")
	w.put(t, "x", "1", "a")
	w.planned = []string{"a", "b"}
	w.start(t, "b")
	w.healthy(t, "a", "b")
	w.planned = w.names
	w.start(t, "c")
	w.healthy(t, w.names...)
	w.want(t, "x", "1", w.names...)
}

func TestAStrangersDataAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b", "c")
	w.start(t, w.names...)
	w.healthy(t, w.names...)
	w.kill("c")
	w.loseDisk(t, "c")
	// A cluster of its own writes into the folder.
	flags := w.etcdFlags("c")
	for i, flag := range flags {
		if flag == "--initial-cluster" {
			flags[i+1] = "c=" + w.peer["c"]
		}
	}
	w.run(t, "c", append([]string{"member"}, flags...)...)
	w.healthy(t, "c")
	w.kill("c")
	w.start(t, "c")
	if out := w.fails(t, "c"); !strings.Contains(out, "belong to the cluster") {
		t.Error(out)
	}
}

// What a database without a log says is of another life.
func TestTheRestOfAnotherLifeIsSetAside(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	old := filepath.Join(w.dataDir("a"), "member", "snap")
	if err := os.MkdirAll(old, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(old, "db"), []byte("no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.start(t, "a")
	w.healthy(t, "a")
	if _, err := os.Stat(filepath.Join(w.dataDir("a"), "member.without-log", "snap", "db")); err != nil {
		t.Error(err)
	}
}

func TestCommandLines(t *testing.T) {
	for _, tt := range []struct {
		line string
		code int
		says string
	}{
		{"", exitUsage, "drystone-etcd member"},
		{"--help", exitDone, "drystone-etcd restore"},
		{"version", exitDone, "etcd 3."},
		{"nonsense", exitUsage, `no command "nonsense"`},
		{"member --help", exitDone, "--quota-backend-bytes=4294967296"},
		{"member --nonsense -- --name a", exitUsage, "not defined"},
		{"member --join-timeout 1s -- --name a", exitUsage, "without --join-through"},
		{"member --join-through http://127.0.0.1:1 --join-timeout -1s -- --name default --data-dir x --initial-cluster default=http://localhost:2380", exitUsage, "not negative"},
		{"list", exitUsage, "--dir is needed"},
		{"list --dir none", exitFailed, "no such file"},
		{"member --join-through http://127.0.0.1:1 -- --nonsense", exitUsage, "not defined"},
		{"member --join-through http://127.0.0.1:1 -- --name a", exitUsage, "--data-dir and --initial-cluster"},
		{"member --join-through http://127.0.0.1:1 -- --name a --data-dir x --initial-cluster b=http://127.0.0.1:2380", exitUsage, "must agree"},
		{"member --join-through https://127.0.0.1:1 -- --name default --data-dir x --initial-cluster default=http://localhost:2380", exitUsage, "need a CA file"},
		{"snapshot", exitUsage, "--endpoints and --dir"},
		{"snapshot --endpoints http://127.0.0.1:1 --dir x --keep 0", exitUsage, "--keep 1 is the least"},
		{"snapshot --endpoints http://127.0.0.1:1 --dir x --cert y", exitUsage, "come together"},
		{"snapshot x", exitUsage, `"x" is no flag`},
		{"snapshot --help", exitDone, "-keep"},
		{"restore", exitUsage, "are needed"},
		{"restore --snapshot none --data-dir x --name a --initial-cluster a=http://127.0.0.1:2380", exitFailed, "no such file"},
	} {
		t.Run(tt.line, func(t *testing.T) {
			t.Chdir(t.TempDir())
			var out lockedBuffer
			if code := Main(strings.Fields(tt.line), Streams{Out: &out, Err: &out}); code != tt.code || !strings.Contains(out.String(), tt.says) {
				t.Errorf("exit %d: %s", code, out.String())
			}
		})
	}
}
