package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// asMain makes this test binary run main itself: tests that start a process need no other build.
const asMain = "DRYSTONE_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main()
	}
	os.Exit(m.Run())
}

// process is a running `drystone up`.
type process struct {
	cmd    *exec.Cmd
	stderr *lockedBuffer
	rest   string
	token  string
	ended  chan struct{}
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// up starts the real program and waits for its `ready`. Signals that it is to ignore are ignored when it starts, as of a
// program that a script started with &.
func up(t *testing.T, ignored ...os.Signal) *process {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	args := []string{"up", "--data", data, "--rest", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--metrics", "", "--nodes", "3"}
	p := &process{stderr: &lockedBuffer{}, ended: make(chan struct{})}
	if len(ignored) > 0 {
		p.cmd = exec.Command("sh", append([]string{"-c", `trap "" INT TERM; exec "$0" "$@"`, os.Args[0]}, args...)...)
	} else {
		p.cmd = exec.Command(os.Args[0], args...)
	}
	p.cmd.Env = append(os.Environ(), asMain+"=1")
	p.cmd.Stderr = p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
	})
	lines := bufio.NewScanner(stdout)
	ready := false
	for !ready && lines.Scan() {
		ready = lines.Text() == "ready"
	}
	go func() {
		defer close(p.ended)
		_, _ = io.Copy(io.Discard, stdout)
		_ = p.cmd.Wait()
	}()
	if !ready {
		t.Fatalf("it never was ready: %s", p.stderr)
	}
	raw, err := os.ReadFile(filepath.Join(data, "run", "endpoint.json"))
	if err != nil {
		t.Fatal(err)
	}
	var endpoint struct{ REST string }
	if err := json.Unmarshal(raw, &endpoint); err != nil {
		t.Fatal(err)
	}
	token, err := os.ReadFile(filepath.Join(data, "token"))
	if err != nil {
		t.Fatal(err)
	}
	p.rest, p.token = endpoint.REST, strings.TrimSpace(string(token))
	return p
}

func (p *process) signal(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
}

// send writes raw bytes to the front-door and keeps the connection open until the test ends.
func (p *process) send(t *testing.T, method, path, rest string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", p.rest)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n%s", method, path, p.token, rest); err != nil {
		t.Fatal(err)
	}
	return conn
}

// statusLine is the first line of an answer.
func statusLine(t *testing.T, conn net.Conn) string {
	t.Helper()
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// stuckUpload begins an upload whose body never comes, and returns once the server wants it.
func (p *process) stuckUpload(t *testing.T) {
	t.Helper()
	if got := statusLine(t, p.send(t, "PUT", "/v1/buckets/box", "Content-Length: 0\r\n\r\n")); got != "HTTP/1.1 200 OK" {
		t.Fatal(got)
	}
	upload := p.send(t, "PUT", "/v1/buckets/box/objects/stuck", "Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n")
	if got := statusLine(t, upload); got != "HTTP/1.1 100 Continue" {
		t.Fatal(got)
	}
}

// A second signal ends the process at once, also when a shell's script started it in the background.
func TestASecondSignalEndsItAtOnce(t *testing.T) {
	for name, ignored := range map[string][]os.Signal{"foreground": nil, "background of a script": {os.Interrupt}} {
		t.Run(name, func(t *testing.T) {
			p := up(t, ignored...)
			p.stuckUpload(t)
			p.signal(t)
			for !strings.Contains(p.stderr.String(), "stopping waits for requests") {
				select {
				case <-p.ended:
					t.Fatalf("it ended by itself: %s", p.stderr)
				case <-time.After(10 * time.Millisecond):
				}
			}
			begun := time.Now()
			p.signal(t)
			<-p.ended
			if took := time.Since(begun); took > time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// A client that does not end keeps a stop waiting for seconds, which one line explains.
func TestAStopWithASlowClient(t *testing.T) {
	p := up(t)
	p.stuckUpload(t)
	begun := time.Now()
	p.signal(t)
	<-p.ended
	if took := time.Since(begun); took < 2*time.Second || took > 6*time.Second {
		t.Errorf("it took %s", took)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit %d", code)
	}
	if lines := strings.Split(strings.TrimSpace(p.stderr.String()), "\n"); len(lines) != 1 || !strings.Contains(lines[0], `"at_most":3000000000`) {
		t.Errorf("standard error:\n%s", p.stderr)
	}
}

// Mistakes of clients are no lines of a library's own on standard error: everything there is JSON.
func TestClientsMistakesWriteNoPlainText(t *testing.T) {
	p := up(t)
	if got := statusLine(t, p.send(t, "PUT", "/v1/buckets/box", "Content-Length: 0\r\n\r\n")); got != "HTTP/1.1 200 OK" {
		t.Fatal(got)
	}
	for name, rest := range map[string]string{
		"a malformed chunk":                      "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
		"a checksum in the trailer that is none": "Transfer-Encoding: chunked\r\nTrailer: Content-MD5\r\n\r\n1\r\nx\r\n0\r\nContent-MD5: x\r\n\r\n",
	} {
		if got := statusLine(t, p.send(t, "PUT", "/v1/buckets/box/objects/k", rest)); got != "HTTP/1.1 400 Bad Request" {
			t.Errorf("%s: %s", name, got)
		}
	}
	// One that hangs up in the middle, and a bucket's settings that are no JSON.
	_ = p.send(t, "PUT", "/v1/buckets/box/objects/k", "Content-Length: 100\r\n\r\nx").Close()
	if got := statusLine(t, p.send(t, "PUT", "/v1/buckets/other", "Content-Length: 1\r\n\r\n{")); got != "HTTP/1.1 400 Bad Request" {
		t.Error(got)
	}
	p.signal(t)
	<-p.ended
	for line := range strings.Lines(p.stderr.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("standard error has %q", line)
		}
	}
}
