package app

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/drystone-store/drystone/services/kit/rpc"
)

// childEnv makes this binary a service, for the tests of signals.
const childEnv = "APP_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		Main("child", func(ctx context.Context, _ conf, _ Env) error {
			_, _ = os.Stdout.WriteString("up\n")
			<-ctx.Done()
			_, _ = os.Stdout.WriteString("stopping\n")
			if os.Getenv(childEnv) == "stubborn" {
				select {}
			}
			return nil
		})
	}
	goleak.VerifyTestMain(m)
}

type conf struct {
	Name string `yaml:"name"`
	Port int    `yaml:"port"`
}

func (c conf) Validate() error {
	if c.Port < 0 {
		return errors.New("port: negative")
	}
	return nil
}

// buffer is written by the logger while the test reads it.
type buffer struct {
	mu  sync.Mutex
	out strings.Builder
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.String()
}

func TestExitCodes(t *testing.T) {
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("name: a\nport: 7\nlog_level: debug\n")
	for _, tt := range []struct {
		name   string
		args   []string
		result error
		code   int
		ran    bool
		stdout []string
		stderr []string
	}{
		{"runs", []string{"--config", good}, nil, 0, true, nil, []string{`"msg":"service starts"`, `"service":"svc"`}},
		{"runs without a file", nil, nil, 0, true, nil, nil},
		{"fails", []string{"--config", good}, errors.New("etcd is gone"), 1, true, nil, []string{"svc: etcd is gone"}},
		{"check", []string{"--config", good, "--check-config"}, nil, 0, false, nil, nil},
		{"print", []string{"--config", good, "--print-config"}, nil, 0, false, []string{"name: a", "port: 7", "log_level: debug", `debug_listen: ""`}, nil},
		{"version", []string{"--version"}, nil, 0, false, []string{"svc "}, nil},
		{"help", []string{"--help"}, nil, 0, false, nil, []string{"-check-config"}},
		{"unknown flag", []string{"--nope"}, nil, 2, false, nil, []string{"nope"}},
		{"argument", []string{"nope"}, nil, 2, false, nil, []string{`"nope"`}},
		{"no such file", []string{"--config", good + "x"}, nil, 2, false, nil, []string{"no such file"}},
		{"unknown field", []string{"--config", write("prot: 7\n")}, nil, 2, false, nil, []string{"line 1", "prot"}},
		{
			"every error of both halves",
			[]string{"--config", write("port: -1\nlog_level: loud\ntrace_ratio: 2\ndebug_listen: here\ndebug_pprof: true\n")},
			nil, 2, false, nil,
			[]string{"port: negative", "log_level", "trace_ratio", "debug_listen"},
		},
		{"pprof without a port", []string{"--config", write("debug_pprof: true\n")}, nil, 2, false, nil, []string{"debug_pprof"}},
		{"debug address in use", []string{"--config", write("debug_listen: " + taken(t) + "\n")}, nil, 1, false, nil, []string{"listen for debugging"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr buffer
			ran := false
			p := process[conf]{name: "svc", stdout: &stdout, stderr: &stderr, run: func(context.Context, conf, Env) error {
				ran = true
				return tt.result
			}}
			if code := p.main(t.Context(), tt.args); code != tt.code || ran != tt.ran {
				t.Errorf("exit code %d, ran %v, want %d, %v", code, ran, tt.code, tt.ran)
			}
			for _, part := range tt.stdout {
				if !strings.Contains(stdout.String(), part) {
					t.Errorf("standard output without %q:\n%s", part, &stdout)
				}
			}
			for _, part := range tt.stderr {
				if !strings.Contains(stderr.String(), part) {
					t.Errorf("standard error without %q:\n%s", part, &stderr)
				}
			}
		})
	}
}

// taken is an address that something listens on already.
func taken(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

// free is an address that nothing listens on, at this moment.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestDebugListenerFollowsTheServers(t *testing.T) {
	address := free(t)
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte("debug_listen: "+address+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	get := func(path string) int {
		resp, err := http.Get("http://" + address + path)
		if err != nil {
			t.Error(err)
			return 0
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}
	var stderr buffer
	p := process[conf]{name: "svc", stdout: io.Discard, stderr: &stderr, run: func(_ context.Context, _ conf, env Env) error {
		s := rpc.NewServer(rpc.ServerOptions{Log: env.Log, Metrics: env.Metrics})
		env.Registry.Register("svc", s)
		for _, serving := range []bool{true, false, true} {
			s.SetServing(serving)
			want := http.StatusOK
			if !serving {
				want = http.StatusServiceUnavailable
			}
			if got := get("/readyz"); got != want {
				t.Errorf("serving %v: /readyz says %d", serving, got)
			}
		}
		if got := get("/metrics"); got != http.StatusOK {
			t.Errorf("/metrics says %d", got)
		}
		if got := get("/debug/pprof/"); got != http.StatusNotFound {
			t.Errorf("pprof says %d without being enabled", got)
		}
		http.DefaultClient.CloseIdleConnections()
		return nil
	}}
	if code := p.main(t.Context(), []string{"--config", path}); code != 0 {
		t.Errorf("exit code %d\n%s", code, &stderr)
	}
}

func TestSignals(t *testing.T) {
	const patience = 20 * time.Second
	for _, tt := range []struct {
		name, child string
		signals     int
		code        int
	}{
		{"the first ends it in order", "orderly", 1, 0},
		{"the second at once", "stubborn", 2, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			cmd := exec.CommandContext(ctx, os.Args[0])
			cmd.Env = append(os.Environ(), childEnv+"="+tt.child)
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			line := make([]byte, 64)
			for range tt.signals {
				if _, err := stdout.Read(line); err != nil { // up, then stopping
					t.Fatal(err)
				}
				if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
			}
			_, _ = io.Copy(io.Discard, stdout)
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != tt.code {
				t.Errorf("ended with %v, want exit code %d", cmd.ProcessState, tt.code)
			}
		})
	}
}
