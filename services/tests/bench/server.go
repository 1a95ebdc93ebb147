package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Server is a `drystone up` process that the bench started.
type Server struct {
	Target
	Metrics string // host:port of the metrics listener
	cmd     *exec.Cmd
	log     *os.File
}

// readyTimeout bounds a start: ten seconds are promised.
const readyTimeout = 30 * time.Second

// StartServer runs binary's `up` on data with nodes chunk-servers in three zones and the default scheme given, on
// free loopback ports, and returns when it prints `ready`.
func StartServer(ctx context.Context, binary, data, scheme string, nodes int) (*Server, error) {
	ports, err := freePorts(4)
	if err != nil {
		return nil, err
	}
	s := &Server{Metrics: ports[2]}
	s.Addr = ports[0]
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	s.log, err = os.OpenFile(filepath.Join(data, "up.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make log: %w", err)
	}
	s.cmd = exec.CommandContext(ctx, binary, "up", "--data", filepath.Join(data, "store"),
		"--rest", ports[0], "--grpc", ports[1], "--metrics", ports[2],
		"--zones", "3", "--nodes", strconv.Itoa(nodes), "--scheme", scheme)
	s.cmd.Stderr = s.log
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	s.cmd.WaitDelay = 20 * time.Second
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", binary, err)
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", binary, err)
	}
	ready := make(chan error, 1)
	go func() {
		scan := bufio.NewScanner(out)
		seen := false
		for scan.Scan() {
			if scan.Text() == "ready" && !seen {
				seen = true
				ready <- nil
			}
		}
		if !seen {
			ready <- fmt.Errorf("%s ended before it was ready; see %s", binary, s.log.Name())
		}
	}()
	select {
	case err = <-ready:
	case <-time.After(readyTimeout):
		err = fmt.Errorf("%s was not ready after %v; see %s", binary, readyTimeout, s.log.Name())
	}
	if err == nil {
		var token []byte
		token, err = os.ReadFile(filepath.Join(data, "store", "token"))
		s.Token = strings.TrimSpace(string(token))
		s.PIDs = []int{s.cmd.Process.Pid}
	}
	if err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// Stop ends the server and waits for it.
func (s *Server) Stop() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	err := s.cmd.Wait()
	_ = s.log.Close()
	if err != nil {
		return fmt.Errorf("stop server: %w; see %s", err, s.log.Name())
	}
	return nil
}

// Kill ends the server with SIGKILL and waits for it.
func (s *Server) Kill() error {
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill server: %w", err)
	}
	_ = s.cmd.Wait() // its status is the signal
	return s.log.Close()
}

// freePorts returns n loopback addresses that were free a moment ago.
func freePorts(n int) ([]string, error) {
	addrs := make([]string, n)
	for i := range addrs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close()
		addrs[i] = l.Addr().String()
	}
	return addrs, nil
}
