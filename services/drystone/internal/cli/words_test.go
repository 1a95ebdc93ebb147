package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is said is what happened: nothing is made or removed that was, or was not, there.
func TestWordsForWhatWasThereAlready(t *testing.T) {
	d := door(t)
	d.Put("box", "key", nil)
	for _, c := range []struct{ line, out string }{
		{"mb new", "made new (rs-5-4)\n"},
		{"mb new", "new exists already (rs-5-4)\n"},
		{"mb new --scheme rs-5-4", "new exists already (rs-5-4)\n"},
		{"rm box/key", "removed box/key\n"},
		{"rm box/key", "box/key was not there\n"},
		{"rm --json box/key", `{"bucket":"box","key":"key","deleted":false}` + "\n"},
		{"rm -r box/none", "there is nothing below box/none/\n"},
		{"rm -r box", "there is nothing below box/\n"},
		{"rm -r --json box", ""},
	} {
		if r := run(t, "", strings.Fields(c.line)...).mustSucceed(t); r.out != c.out || r.err != "" {
			t.Errorf("%s: %q, want %q; standard error %q", c.line, r.out, c.out, r.err)
		}
	}
	if r := run(t, "", "rm", "none/key"); r.code != exitFailed || !strings.Contains(r.err, "NO_SUCH_BUCKET") {
		t.Errorf("in a bucket that is absent: %+v", r)
	}
}

func TestErrorsAreJSONUnderJSON(t *testing.T) {
	door(t)
	for _, c := range []struct {
		line   string
		code   int
		reason string
		err    string
	}{
		{"ls none --json", exitFailed, "NO_SUCH_BUCKET", "list none"},
		{"ls --nonsense --json", exitUsage, "", "unknown flag"},
		{"get --json none", exitUsage, "", "names no object"},
		{"put --json absent none/x", exitFailed, "", "no such file"},
	} {
		r := run(t, "", strings.Fields(c.line)...)
		var got struct{ Error, Reason string }
		if err := json.Unmarshal([]byte(r.err), &got); err != nil || strings.Count(r.err, "\n") != 1 {
			t.Errorf("%s: %q: %v", c.line, r.err, err)
		}
		if r.code != c.code || got.Reason != c.reason || !strings.Contains(got.Error, c.err) {
			t.Errorf("%s: exit %d, %+v", c.line, r.code, got)
		}
	}
}

// What cannot be read is named, and the rest is stored, however much it is.
func TestPutOfAFolderGoesOnAroundWhatCannotBeRead(t *testing.T) {
	d := door(t)
	d.Put("box", "x", nil)
	write(t, map[string]string{"from/a": "1", "from/sub/z": "2", "from/locked/in": "3", "from/secret": "4"})
	const dangling = 2 * maxFailures
	for i := range dangling {
		if err := os.Symlink("nowhere", filepath.Join("from", fmt.Sprintf("link-%02d", i))); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"p/a", "p/sub/z", "x"}
	failed := dangling
	if os.Geteuid() == 0 { // Nothing is locked for root.
		want = []string{"p/a", "p/locked/in", "p/secret", "p/sub/z", "x"}
	} else {
		failed += 2
		for name, mode := range map[string]os.FileMode{"from/locked": 0, "from/secret": 0} {
			if err := os.Chmod(name, mode); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Chmod(name, 0o700) })
		}
	}
	r := run(t, "", "put", "-r", "from", "box/p")
	if r.code != exitFailed || !strings.Contains(r.err, fmt.Sprintf("put from: %d of it could not be read", failed)) {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
	for i := range dangling {
		if name := fmt.Sprintf("from/link-%02d: no such file", i); strings.Count(r.err, name) != 1 {
			t.Errorf("%s is not named once: %s", name, r.err)
		}
	}
	if diff := cmp.Diff(want, d.Keys("box")); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}
