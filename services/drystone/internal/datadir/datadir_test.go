package datadir

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func fresh(t *testing.T) Dir {
	t.Helper()
	d := At(t.TempDir() + "/data")
	if err := d.Make(); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestTokenIsMadeOnceAndOnlyForTheOwner(t *testing.T) {
	d := fresh(t)
	if _, err := d.Token(); !errors.Is(err, ErrNoToken) {
		t.Errorf("before: %v", err)
	}
	token, err := d.EnsureToken()
	if err != nil || len(token) < len(tokenPrefix)+40 {
		t.Fatalf("token %q, %v", token, err)
	}
	again, err := d.EnsureToken()
	if err != nil || again != token {
		t.Errorf("the second start has %q instead of %q (%v)", again, token, err)
	}
	info, err := os.Stat(d.TokenPath())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if first, second := NewToken(), NewToken(); first == second {
		t.Error("two tokens are equal")
	}
}

func TestAnEmptyTokenFileIsNoToken(t *testing.T) {
	d := fresh(t)
	if err := os.WriteFile(d.TokenPath(), []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if token, err := d.EnsureToken(); err == nil || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("token %q, %v", token, err)
	}
}

func TestLockIsForOne(t *testing.T) {
	d := fresh(t)
	lock, err := d.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Lock(); err == nil || !strings.Contains(err.Error(), "in use by process") {
		t.Errorf("the second: %v", err)
	}
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	if lock, err = d.Lock(); err != nil {
		t.Fatal(err)
	}
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
}

func TestEndpoint(t *testing.T) {
	d := fresh(t)
	if _, err := d.Endpoint(); !errors.Is(err, ErrNoEndpoint) {
		t.Errorf("before: %v", err)
	}
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	if err := d.WriteEndpoint(Endpoint{REST: "127.0.0.1:1", PID: dead.Process.Pid}); err != nil {
		t.Fatal(err)
	}
	if e, err := d.Endpoint(); !errors.Is(err, ErrNoEndpoint) {
		t.Errorf("of a process that was killed: %+v, %v", e, err)
	}
	want := Endpoint{REST: "127.0.0.1:1", GRPC: "127.0.0.1:2", Metrics: "127.0.0.1:3", PID: os.Getpid()}
	if err := d.WriteEndpoint(want); err != nil {
		t.Fatal(err)
	}
	got, err := d.Endpoint()
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for range 2 {
		if err := d.RemoveEndpoint(); err != nil {
			t.Error(err)
		}
	}
	if _, err := d.Endpoint(); !errors.Is(err, ErrNoEndpoint) {
		t.Errorf("after: %v", err)
	}
}

func TestWriteFileReplacesOrLeavesAlone(t *testing.T) {
	d := fresh(t)
	for _, data := range []string{"old", "new"} {
		if err := d.WriteFile("file", []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(d.Path("file")); err != nil || string(got) != data {
			t.Errorf("%q, %v", got, err)
		}
	}
	if err := os.Mkdir(d.Path("taken"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := d.WriteFile("taken", []byte("x"), 0o600); err == nil {
		t.Error("a folder was replaced")
	}
	entries, err := fs.ReadDir(os.DirFS(d.Root()), ".")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if diff := cmp.Diff([]string{"file", "run", "taken"}, names); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
}
