package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/drystone-store/drystone/services/drystone/internal/datadir"
	"github.com/drystone-store/drystone/services/drystone/internal/fakedoor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// result is what a command left.
type result struct {
	code     int
	out, err string
}

// run runs a command line as a shell would.
func run(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	code := Main(t.Context(), args, Streams{In: strings.NewReader(stdin), Out: &out, Err: &errs})
	return result{code, out.String(), errs.String()}
}

// door starts a fake that commands find by the environment, in an empty folder that they run in.
func door(t *testing.T) *fakedoor.Door {
	t.Helper()
	d := fakedoor.Start(t)
	t.Setenv(envEndpoint, d.URL)
	t.Setenv(envToken, fakedoor.Token)
	t.Chdir(t.TempDir())
	return d
}

func write(t *testing.T, files map[string]string) {
	t.Helper()
	for name, data := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// tree reads a folder's plain files, by their names below it.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(root, path)
		files[filepath.ToSlash(rel)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func (r result) mustSucceed(t *testing.T) result {
	t.Helper()
	if r.code != exitDone {
		t.Fatalf("exit %d: %s", r.code, r.err)
	}
	return r
}

func TestExitCodesAndWords(t *testing.T) {
	d := door(t)
	d.Put("box", "key", []byte("hello"))
	write(t, map[string]string{"file": "hello", "dir/x": ""})

	for _, c := range []struct {
		line string
		code int
		err  string
	}{
		{line: "", code: exitDone},
		{line: "version", code: exitDone},
		{line: "completion bash", code: exitDone},
		{line: "completion fish", code: exitDone},
		{line: "completion zsh", code: exitDone},
		{line: "nonsense", code: exitUsage, err: `no command "nonsense"`},
		{line: "ls --nonsense", code: exitUsage, err: "unknown flag"},
		{line: "ls a b", code: exitUsage, err: "usage: drystone ls"},
		{line: "mb", code: exitUsage, err: "usage: drystone mb"},
		{line: "mb box/key", code: exitUsage, err: "a bucket is wanted"},
		{line: "mb new", code: exitDone},
		{line: "mb new --scheme rs-5-4", code: exitDone},
		{line: "mb new --scheme rs-4-2", code: exitFailed, err: "BUCKET_ALREADY_EXISTS"},
		{line: "rb new", code: exitDone},
		{line: "rb box", code: exitFailed, err: "`drystone rm -r BUCKET`"},
		{line: "ls none", code: exitFailed, err: "`drystone mb BUCKET`"},
		{line: "put file", code: exitUsage, err: "usage: drystone put"},
		{line: "put absent box/x", code: exitFailed, err: "no such file"},
		{line: "put dir box/x", code: exitUsage, err: "use -r"},
		{line: "put -r file box/x", code: exitUsage, err: "leave -r out"},
		{line: "put - box", code: exitUsage, err: "no name"},
		{line: "put -r - box/x", code: exitUsage, err: "not standard input"},
		{line: "put file /x", code: exitUsage, err: "names no bucket"},
		{line: "put file none/x", code: exitFailed, err: "NO_SUCH_BUCKET"},
		{line: "put --meta nonsense file box/x", code: exitUsage, err: "NAME=VALUE"},
		{line: "put file box/x", code: exitDone},
		{line: "get box", code: exitUsage, err: "names no object"},
		{line: "get box/none", code: exitFailed, err: "NO_SUCH_KEY"},
		{line: "get -r box -", code: exitUsage, err: "not standard output"},
		{line: "get -r box/nothing out", code: exitFailed, err: "nothing below"},
		{line: "get -r --version-id 1 box", code: exitUsage, err: "leave -r out"},
		{line: "get box/key -", code: exitDone},
		{line: "stat box/none", code: exitFailed, err: "no such object"},
		{line: "stat box", code: exitDone},
		{line: "rm box", code: exitUsage, err: "names no object"},
		{line: "rm", code: exitUsage, err: "usage: drystone rm"},
		{line: "rm box/key box/none", code: exitDone},
		{line: "up --nodes 0", code: exitUsage, err: "--nodes 0: 1 is the least"},
		{line: "up --zones 0", code: exitUsage, err: "--zones 0: 1 is the least"},
		{line: "up --disks -1", code: exitUsage, err: "--disks -1: 1 is the least"},
		{line: "up --nodes 2 --zones 3 --data fresh", code: exitUsage, err: "change --zones or --nodes"},
		{line: "up --nodes 1 --data fresh", code: exitUsage, err: "two nodes are the least"},
		{line: "up --scheme rs-8-4 --data fresh", code: exitUsage, err: "Leave --scheme out for rs-5-4"},
		{line: "cluster", code: exitDone},
		{line: "ls --endpoint ftp://x", code: exitUsage, err: "http://"},
		{line: "ls --endpoint 127.0.0.1:1", code: exitFailed, err: "is `drystone up` running?"},
		{line: "ls --token wrong", code: exitFailed, err: "DRYSTONE_TOKEN"},
	} {
		t.Run(c.line, func(t *testing.T) {
			r := run(t, "", strings.Fields(c.line)...)
			if r.code != c.code || !strings.Contains(r.err, c.err) {
				t.Errorf("exit %d, want %d; standard error %q, want %q in it", r.code, c.code, r.err, c.err)
			}
			if c.code == exitDone && r.err != "" {
				t.Errorf("standard error: %q", r.err)
			}
		})
	}
}

func TestPutAndGetOneFile(t *testing.T) {
	d := door(t)
	d.Put("box", "other", nil)
	write(t, map[string]string{"cat.txt": "meow"})
	if err := os.Mkdir("dir", 0o700); err != nil {
		t.Fatal(err)
	}

	run(t, "", "put", "cat.txt", "box").mustSucceed(t)
	run(t, "", "put", "cat.txt", "box/a/", "--meta", "Who=me", "--meta", "x=a=b").mustSucceed(t)
	run(t, "from a pipe", "put", "-", "box//b", "--content-type", "text/x").mustSucceed(t)
	if diff := cmp.Diff([]string{"/b", "a/", "cat.txt", "other"}, d.Keys("box")); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	if o := d.Get("box", "a/"); !strings.HasPrefix(o.ContentType, "text/plain") ||
		!cmp.Equal(o.Meta, map[string]string{"who": "me", "x": "a=b"}) {
		t.Errorf("stored: %+v", o)
	}
	if o := d.Get("box", "/b"); string(o.Data) != "from a pipe" || o.ContentType != "text/x" {
		t.Errorf("stored: %+v", o)
	}

	if r := run(t, "", "get", "box//b", "-").mustSucceed(t); r.out != "from a pipe" {
		t.Errorf("standard output: %q", r.out)
	}
	run(t, "", "get", "box//b").mustSucceed(t)
	run(t, "", "get", "box//b", "dir").mustSucceed(t)
	run(t, "", "get", "box//b", "dir/c").mustSucceed(t)
	run(t, "", "get", "box//b", "dir/c").mustSucceed(t)
	if r := run(t, "", "get", "box/a/"); r.code != exitUsage || !strings.Contains(r.err, "name the FILE") {
		t.Errorf("a key without a file name: %+v", r)
	}
	want := map[string]string{"cat.txt": "meow", "b": "from a pipe", "dir/b": "from a pipe", "dir/c": "from a pipe"}
	if diff := cmp.Diff(want, tree(t, ".")); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestGetLeavesNothingHalf(t *testing.T) {
	for _, c := range []struct {
		name  string
		order func(*fakedoor.Door)
	}{
		{name: "wrong checksum", order: func(d *fakedoor.Door) { d.LieAboutChecksums() }},
		{name: "refused", order: func(d *fakedoor.Door) { d.Refuse(fakedoor.Fault{Status: 403, Reason: "ACCESS_DENIED"}) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := door(t)
			d.Put("box", "key", []byte("new"))
			c.order(d)
			write(t, map[string]string{"key": "old"})
			if r := run(t, "", "get", "box/key"); r.code != exitFailed {
				t.Errorf("exit %d", r.code)
			}
			if diff := cmp.Diff(map[string]string{"key": "old"}, tree(t, ".")); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGetWritesThroughLinksAndIntoDevices(t *testing.T) {
	d := door(t)
	d.Put("box", "key", []byte("new"))
	write(t, map[string]string{"dir/real": "old"})
	if err := os.Symlink("dir/real", "link"); err != nil {
		t.Fatal(err)
	}
	run(t, "", "get", "box/key", "link").mustSucceed(t)
	run(t, "", "get", "box/key", os.DevNull).mustSucceed(t)
	if info, err := os.Lstat("link"); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Error("the link was replaced")
	}
	if got := tree(t, "dir")["real"]; got != "new" {
		t.Errorf("behind the link: %q", got)
	}
	if info, err := os.Stat(os.DevNull); err != nil || info.Mode().IsRegular() {
		t.Fatal("the null device was replaced")
	}
}

func TestFoldersGoThereAndBack(t *testing.T) {
	d := door(t)
	d.Put("box", "pictures.txt", nil) // begins like the folder
	files := map[string]string{"a.txt": "1", "sub/b": "2", "sub/deep/c": "", "sub/.hidden": "4", "e f": "5"}
	for name, data := range files {
		write(t, map[string]string{filepath.Join("from", name): data})
	}
	if err := os.Symlink("a.txt", "from/link"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("sub", "from/loop"); err != nil {
		t.Fatal(err)
	}
	r := run(t, "", "put", "-r", "from", "box/pictures").mustSucceed(t)
	if !strings.Contains(r.err, "left out from/loop") {
		t.Errorf("standard error: %q", r.err)
	}
	files["link"] = "1"
	run(t, "", "get", "-r", "box/pictures", "to").mustSucceed(t)
	if diff := cmp.Diff(files, tree(t, "to")); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}

	lines := strings.Split(strings.TrimSpace(run(t, "", "rm", "-r", "--json", "box/pictures").mustSucceed(t).out), "\n")
	if len(lines) != len(files) {
		t.Errorf("removed: %q", lines)
	}
	if diff := cmp.Diff([]string{"pictures.txt"}, d.Keys("box")); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}

func TestGetFolderStaysInIt(t *testing.T) {
	d := door(t)
	evil := []string{"p/../../evil", "p/..", "p//evil", "p//", "p/a/../../evil", "p/./x", "p/link/evil", "p/good", "p/marker/"}
	for _, key := range evil {
		d.Put("box", key, []byte("x"))
	}
	d.Put("box", "p/marker/", nil)
	write(t, map[string]string{"outside/keep": "kept", "to/.keep": ""})
	if err := os.Symlink("../outside", "to/link"); err != nil {
		t.Fatal(err)
	}
	r := run(t, "", "get", "-r", "box/p", "to")
	if r.code != exitFailed || strings.Count(r.err, "cannot be a file name") != 6 {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
	want := map[string]string{"outside/keep": "kept", "to/.keep": "", "to/good": "x"}
	if diff := cmp.Diff(want, tree(t, ".")); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if info, err := os.Stat("to/marker"); err != nil || !info.IsDir() {
		t.Error("the folder's marker made no folder")
	}
}

func TestListing(t *testing.T) {
	d := door(t)
	d.Put("box", "a", []byte("12345"))
	d.Put("box", "b/1", make([]byte, 2048))
	d.Put("box", "b/2", nil)
	d.Put("box", "bell\a", nil)
	d.Put("crate", "x", nil)

	names := func(args ...string) []string {
		var out []string
		for line := range strings.Lines(run(t, "", args...).mustSucceed(t).out) {
			fields := strings.Fields(line)
			out = append(out, fields[len(fields)-1])
		}
		return out
	}
	for _, c := range []struct {
		args []string
		want []string
	}{
		{args: []string{"ls"}, want: []string{"box", "crate"}},
		{args: []string{"ls", "box"}, want: []string{"a", "b/", `"bell\a"`}},
		{args: []string{"ls", "box/"}, want: []string{"a", "b/", `"bell\a"`}},
		{args: []string{"ls", "box/b"}, want: []string{"b/", `"bell\a"`}},
		{args: []string{"ls", "box/b/"}, want: []string{"b/1", "b/2"}},
		{args: []string{"ls", "-r", "box"}, want: []string{"a", "b/1", "b/2", `"bell\a"`}},
	} {
		if diff := cmp.Diff(c.want, names(c.args...)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", c.args, diff)
		}
	}
	if out := run(t, "", "ls", "box/b/").out; !strings.Contains(out, "2.0 KiB") {
		t.Errorf("sizes: %q", out)
	}
}

func TestJSONIsOneObjectALine(t *testing.T) {
	d := door(t)
	d.Put("box", "a", []byte("12345"))
	d.Put("box", "b/1", nil)
	write(t, map[string]string{"file": "x"})
	for _, c := range []struct {
		args []string
		want []map[string]any // a part of each line
	}{
		{args: []string{"ls"}, want: []map[string]any{{"name": "box"}}},
		{args: []string{"ls", "box"}, want: []map[string]any{{"key": "a", "size": 5.0, "bucket": "box"}, {"prefix": "b/"}}},
		{args: []string{"stat", "box/a"}, want: []map[string]any{{"key": "a", "size": 5.0}}},
		{args: []string{"stat", "box"}, want: []map[string]any{{"name": "box", "scheme": "rs-5-4"}}},
		{args: []string{"put", "file", "box/c"}, want: []map[string]any{{"key": "c", "size": 1.0, "file": "file"}}},
		{args: []string{"get", "box/a", "out"}, want: []map[string]any{{"key": "a", "file": "out"}}},
		{args: []string{"rm", "box/c"}, want: []map[string]any{{"key": "c", "deleted": true}}},
		{args: []string{"mb", "new"}, want: []map[string]any{{"name": "new"}}},
		{args: []string{"rb", "new"}, want: []map[string]any{{"bucket": "new", "deleted": true}}},
		{args: []string{"cluster"}, want: []map[string]any{{"clusterId": "c1"}}},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			out := run(t, "", append(c.args, "--json")...).mustSucceed(t).out
			lines := slices.Collect(strings.Lines(out))
			if len(lines) != len(c.want) {
				t.Fatalf("%d lines: %s", len(lines), out)
			}
			for i, line := range lines {
				var got map[string]any
				if err := json.Unmarshal([]byte(line), &got); err != nil {
					t.Fatalf("%s: %v", line, err)
				}
				for name, value := range c.want[i] {
					if got[name] != value {
						t.Errorf("%s is %v, want %v: %s", name, got[name], value, line)
					}
				}
			}
		})
	}
}

func TestClusterTable(t *testing.T) {
	door(t)
	out := run(t, "", "cluster").mustSucceed(t).out
	for _, want := range []string{"writes use rs-4-4 while disks are missing", "one zone and one disk", "512.0 GiB", "node-2  down", "2 open, 5 sealed"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in:\n%s", want, out)
		}
	}
}

// TestWhereTheFrontDoorComesFrom: flags, then the environment, then the data folder, whose root token stays with it.
func TestWhereTheFrontDoorComesFrom(t *testing.T) {
	d := fakedoor.Start(t)
	other := fakedoor.Start(t)
	local := strings.TrimPrefix(d.URL, "http://")
	serving := func(t *testing.T) {
		dir := datadir.At(datadir.Default)
		if err := dir.Make(); err != nil {
			t.Fatal(err)
		}
		if err := dir.WriteFile("token", []byte(fakedoor.Token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := dir.WriteEndpoint(datadir.Endpoint{REST: local}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name            string
		serving         bool
		endpoint, token string // environment
		args            []string
		code            int
		err             string
	}{
		{name: "nothing", code: exitFailed, err: "start `drystone up`"},
		{name: "data folder", serving: true},
		{name: "environment", endpoint: other.URL, token: fakedoor.Token},
		{name: "flags", endpoint: "127.0.0.1:1", token: "wrong", args: []string{"--endpoint", other.URL, "--token", fakedoor.Token}},
		{name: "the folder's own address", serving: true, endpoint: d.URL},
		{name: "token stays in the house", serving: true, endpoint: other.URL, code: exitFailed, err: "no token for"},
		{name: "another folder", serving: true, args: []string{"--data", "elsewhere"}, code: exitFailed, err: "nothing serves elsewhere"},
		{name: "white space", endpoint: d.URL, token: "a b", code: exitUsage, err: "white space"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			t.Setenv(envEndpoint, c.endpoint)
			t.Setenv(envToken, c.token)
			if c.serving {
				serving(t)
			}
			if r := run(t, "", append([]string{"ls"}, c.args...)...); r.code != c.code || !strings.Contains(r.err, c.err) {
				t.Errorf("exit %d, want %d: %s", r.code, c.code, r.err)
			}
		})
	}
}

func TestInterrupted(t *testing.T) {
	d := door(t)
	d.Put("box", "key", nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	code := Main(ctx, []string{"get", "box/key"}, Streams{Out: &out, Err: &errs})
	if code != exitFailed || errs.String() != "drystone: interrupted\n" {
		t.Errorf("exit %d: %s", code, errs.String())
	}
	if files := tree(t, "."); len(files) > 0 {
		t.Errorf("left: %v", files)
	}
}

func TestTooManyFailuresEndTheWork(t *testing.T) {
	d := door(t)
	files := map[string]string{}
	for i := range 200 {
		files[filepath.Join("from", string(rune('a'+i%26)), strings.Repeat("x", i/26+1))] = "x"
	}
	write(t, files)
	r := run(t, "", "put", "-r", "from", "none")
	if r.code != exitFailed || !strings.Contains(r.err, "gave up after 10 failures") {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
	if n := len(d.Calls()); n >= 200 {
		t.Errorf("%d calls", n)
	}
}
