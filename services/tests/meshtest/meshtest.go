// Package meshtest starts a mesh for a test and talks to its first front-door.
package meshtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/drystone-store/drystone/services/tests/mesh"
)

// requestTimeout bounds one request; a degraded read of many MiB on a busy machine takes seconds.
const requestTimeout = 60 * time.Second

// logTail is how much of a front-door's log a failed test shows.
const logTail = 16 << 10

// Start builds the binaries, brings a mesh up in a temporary folder, and ends it with the test.
func Start(t *testing.T, o mesh.Options) *mesh.Mesh {
	t.Helper()
	o.Bin = Build(t)
	o.Root = filepath.Join(t.TempDir(), "mesh")
	m, err := mesh.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			for _, name := range m.Names("frontdoor") {
				t.Logf("%s:\n%s", name, Tail(m.LogPath(name)))
			}
		}
	})
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return m
}

// Build makes all binaries and returns their folder.
func Build(t testing.TB) string {
	t.Helper()
	root, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "make", "-C", root, "build")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make build: %v\n%s", err, out)
	}
	return filepath.Join(root, "bin")
}

// repository finds the top of the source tree from the folder of the test.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("find the repository: no folder above has a go.work")
}

// Do sends one request with the root token to the first front-door and reads the answer whole.
func Do(ctx context.Context, m *mesh.Mesh, method, path string, body []byte, header http.Header) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+m.Addr(m.Names("frontdoor")[0])+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("Authorization", "Bearer "+m.Token())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp.StatusCode, got, fmt.Errorf("read the answer to %s %s: %w", method, path, err)
	}
	return resp.StatusCode, got, nil
}

// MustDo is Do for a request whose status is known.
func MustDo(t *testing.T, m *mesh.Mesh, method, path string, body []byte, header http.Header, want int) []byte {
	t.Helper()
	status, got, err := Do(t.Context(), m, method, path, body, header)
	if err != nil {
		t.Fatal(err)
	}
	if status != want {
		t.Fatalf("%s %s: status %d, want %d: %s", method, path, status, want, got)
	}
	return got
}

// Tail is the end of what a log has above INFO, for a failed test.
func Tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	var kept []byte
	for line := range bytes.Lines(b) {
		if !bytes.Contains(line, []byte(`"level":"INFO"`)) {
			kept = append(kept, line...)
		}
	}
	return string(kept[max(0, len(kept)-logTail):])
}
