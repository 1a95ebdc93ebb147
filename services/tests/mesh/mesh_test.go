package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestMain plays a service when the test binary is called by a service's name: see binaries.
func TestMain(m *testing.M) {
	if strings.HasPrefix(filepath.Base(os.Args[0]), "drystone-") {
		if err := play(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// play listens where the plan says, until SIGTERM. A front-door answers as if the mesh were ready.
func play() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	root, name := "", ""
	for i, arg := range os.Args {
		switch arg {
		case "--config":
			root, name = filepath.Dir(filepath.Dir(os.Args[i+1])), strings.TrimSuffix(filepath.Base(os.Args[i+1]), ".yaml")
		case "--data-dir":
			root, name = filepath.Dir(filepath.Dir(os.Args[i+1])), filepath.Base(os.Args[i+1])
		}
	}
	p, _, err := load(root)
	if err != nil {
		return err
	}
	proc, err := p.find(name)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(root, "data", name+".broken")); err == nil {
		return errors.New("broken, as ordered")
	}
	l, err := net.Listen("tcp", proc.Addr)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(root, "data", name+".heavy")); err == nil {
		ballast := make([]byte, 512<<20)
		for i := 0; i < len(ballast); i += os.Getpagesize() {
			ballast[i] = 1
		}
		defer runtime.KeepAlive(ballast)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			return
		}
		var nodes []any
		for range p.of("chunkserver") {
			nodes = append(nodes, map[string]any{"state": "up"})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"writeScheme": "rs-5-4", "zones": []any{map[string]any{"nodes": nodes}}})
	})}
	go func() { <-ctx.Done(); _ = server.Close() }()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// binaries makes a folder in which every service's name is this test binary.
func binaries(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	for _, name := range []string{
		"drystone-etcd", "drystone-placement", "drystone-metadata", "drystone-chunkserver", "drystone-frontdoor", "drystone-repair",
	} {
		if err := os.Symlink(self, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	return bin
}

func open(t *testing.T, root, bin string) *Mesh {
	t.Helper()
	m, err := Open(Options{Root: root, Bin: bin, Size: Size{Etcd: 1, ChunkServers: 3, Placement: 1, Metadata: 1, FrontDoors: 1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return m
}

func pids(t *testing.T, m *Mesh) map[string]int {
	t.Helper()
	states, err := m.Status()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for _, s := range states {
		out[s.Name] = s.PID
	}
	return out
}

func TestMesh(t *testing.T) {
	root, bin := t.TempDir(), binaries(t)
	m := open(t, root, bin)
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := pids(t, m)
	for name, pid := range before {
		if pid == 0 {
			t.Errorf("%s does not run", name)
		}
		raw, err := os.ReadFile(filepath.Join(root, "run", name+".addr"))
		if err != nil || strings.TrimSpace(string(raw)) != m.Addr(name) {
			t.Errorf("%s: address file %q (%v), address %s", name, raw, err, m.Addr(name))
		}
	}
	if group, err := syscall.Getpgid(before["repair-1"]); err != nil || group != before["repair-1"] {
		t.Errorf("repair-1 (%d) is in process group %d, %v", before["repair-1"], group, err)
	}

	// A second command finds what runs, and starts nothing twice.
	other := open(t, root, bin)
	if err := other.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, pids(t, other)); diff != "" {
		t.Errorf("a second start changed pids (-before +after):\n%s", diff)
	}
	if m.Token() != other.Token() || len(m.Token()) < 40 {
		t.Errorf("tokens %q and %q", m.Token(), other.Token())
	}

	if err := m.Kill(t.Context(), "chunkserver-2", syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if pid, err := m.PID("chunkserver-2"); pid != 0 || err != nil {
		t.Errorf("chunkserver-2 is pid %d after SIGKILL, %v", pid, err)
	}
	if err := m.Kill(t.Context(), "chunkserver-2", syscall.SIGKILL); err == nil {
		t.Error("it was killed twice")
	}
	addr := m.Addr("chunkserver-2")
	if err := m.StartProcess(t.Context(), "chunkserver-2"); err != nil {
		t.Fatal(err)
	}
	if err := m.Restart(t.Context(), "frontdoor-1"); err != nil {
		t.Fatal(err)
	}
	after := pids(t, m)
	for name := range before {
		restarted := name == "chunkserver-2" || name == "frontdoor-1"
		if (after[name] != before[name]) != restarted || after[name] == 0 {
			t.Errorf("%s: pid %d, then %d", name, before[name], after[name])
		}
	}
	if m.Addr("chunkserver-2") != addr {
		t.Error("an address changed")
	}

	if err := m.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, pid := range after {
		if err := syscall.Kill(pid, 0); err == nil {
			t.Errorf("%s (%d) is left", name, pid)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(root, "run", "*.pid")); len(left) > 0 {
		t.Errorf("pid files are left: %q", left)
	}
}

// TestAKilledProcessHoldsNothing: the kernel takes a killed process's command line first and its sockets last, which a
// lot of memory to give back makes visible. Who started the next process at once met "address already in use".
func TestAKilledProcessHoldsNothing(t *testing.T) {
	m := open(t, t.TempDir(), binaries(t))
	if err := os.WriteFile(filepath.Join(m.Root(), "data", "chunkserver-1.heavy"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := m.StartProcess(t.Context(), "chunkserver-1"); err != nil {
			t.Fatal(err)
		}
		answers(t, m.Addr("chunkserver-1"))
		if err := m.Kill(t.Context(), "chunkserver-1", syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", m.Addr("chunkserver-1"))
		if err != nil {
			t.Fatalf("the killed process holds on to its port: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// answers waits until a played process answers, which it does when it has all its memory.
func answers(t *testing.T, addr string) {
	t.Helper()
	resp, err := http.Get("http://" + addr + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
}

// TestDownEndsOnlyItsOwn: a pid file may name a process that has nothing to do with the mesh.
func TestDownEndsOnlyItsOwn(t *testing.T) {
	bin := binaries(t)
	m := open(t, t.TempDir(), bin)
	stranger := exec.Command("sleep", "60")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stranger.Process.Kill(); _ = stranger.Wait() }()
	for _, pid := range []int{stranger.Process.Pid, os.Getpid()} {
		if err := os.WriteFile(m.runPath("metadata-1", ".pid"), fmt.Appendln(nil, pid), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := m.Kill(t.Context(), "metadata-1", syscall.SIGKILL); err == nil {
			t.Error("a stranger was killed")
		}
		if err := m.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := stranger.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the stranger: %v", err)
	}
	for _, nonsense := range []string{"", "x", "-1", "0", "1"} {
		if err := os.WriteFile(m.runPath("metadata-1", ".pid"), []byte(nonsense), 0o600); err != nil {
			t.Fatal(err)
		}
		if pid, err := m.PID("metadata-1"); err == nil || pid != 0 {
			t.Errorf("pid file %q: %d, %v", nonsense, pid, err)
		}
	}
	if err := os.Remove(m.runPath("metadata-1", ".pid")); err != nil {
		t.Fatal(err)
	}
}

func TestAProcessThatEndsAtItsStartIsNamed(t *testing.T) {
	m := open(t, t.TempDir(), binaries(t))
	if err := os.WriteFile(filepath.Join(m.Root(), "data", "chunkserver-3.broken"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	err := m.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "chunkserver-3") || !strings.Contains(err.Error(), "chunkserver-3.log") {
		t.Errorf("start: %v", err)
	}
	if took := time.Since(begun); took > readyPatience/2 {
		t.Errorf("it took %s to notice", took)
	}
	if raw, err := os.ReadFile(m.LogPath("chunkserver-3")); err != nil || !strings.Contains(string(raw), "as ordered") {
		t.Errorf("log %q, %v", raw, err)
	}
}

func TestPlan(t *testing.T) {
	p, err := draw("/root", "/bin", Default())
	if err != nil {
		t.Fatal(err)
	}
	count, addresses, zones := map[string]int{}, map[string]bool{}, map[string]int{}
	for _, proc := range p.Processes {
		count[proc.Service]++
		if proc.Service == "chunkserver" {
			zones[proc.Zone]++
		}
		for _, a := range []string{proc.Addr, proc.GRPC, proc.Peer, proc.Debug} {
			if a != "" && addresses[a] {
				t.Errorf("%s is used twice", a)
			}
			addresses[a] = true
		}
	}
	want := map[string]int{"etcd": 3, "placement": 2, "metadata": 2, "chunkserver": 9, "repair": 1, "frontdoor": 2}
	if diff := cmp.Diff(want, count); diff != "" {
		t.Errorf("processes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{"z1": 3, "z2": 3, "z3": 3}, zones); diff != "" {
		t.Errorf("zones (-want +got):\n%s", diff)
	}
	root := t.TempDir()
	if err := p.save(root); err != nil {
		t.Fatal(err)
	}
	again, exists, err := load(root)
	if diff := cmp.Diff(p, again); err != nil || !exists || diff != "" {
		t.Errorf("%v (-saved +loaded):\n%s", err, diff)
	}
}
