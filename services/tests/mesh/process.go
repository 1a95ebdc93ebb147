package mesh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// How often a state that nobody announces is looked at: a process that ends, a port that opens.
const pollEvery = 20 * time.Millisecond

func (m *Mesh) runPath(name, suffix string) string {
	return filepath.Join(m.root, "run", name+suffix)
}

// spawn starts a process in a group of its own, so that a Ctrl-C at the terminal is not for it.
func (m *Mesh) spawn(proc Process) error {
	log, err := os.OpenFile(m.runPath(proc.Name, ".log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("start %s: %w", proc.Name, err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(proc.Args[0], proc.Args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Env = append(os.Environ(), m.env...)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", proc.Name, err)
	}
	m.reaped.Go(func() { _ = cmd.Wait() }) // Its status is in its log; without this it stays as a zombie.
	if err := replaceFile(m.runPath(proc.Name, ".pid"), fmt.Appendln(nil, cmd.Process.Pid)); err != nil {
		return errors.Join(err, cmd.Process.Kill())
	}
	if err := replaceFile(m.runPath(proc.Name, ".addr"), []byte(proc.Addr+"\n")); err != nil {
		return err
	}
	if proc.GRPC == "" {
		return nil
	}
	return replaceFile(m.runPath(proc.Name, ".grpc"), []byte(proc.GRPC+"\n"))
}

// pid returns the process id of a running process, 0 when it does not run. A pid that now belongs to something else
// is not ours.
func (m *Mesh) pid(proc Process) (int, error) {
	raw, err := os.ReadFile(m.runPath(proc.Name, ".pid"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("read the pid of %s: %w", proc.Name, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil || pid <= 1 {
		return 0, fmt.Errorf("read the pid of %s: %q is none", proc.Name, raw)
	}
	if !runs(pid, proc.Args) {
		return 0, nil
	}
	return pid, nil
}

// runs tells whether process pid was started with this command line. A zombie has none, so it does not run.
func runs(pid int, args []string) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return false
	}
	var have []string
	for part := range bytes.SplitSeq(bytes.TrimSuffix(raw, []byte{0}), []byte{0}) {
		have = append(have, string(part))
	}
	return slices.Equal(have, args)
}

// signal sends a signal to a running process and returns its pid, 0 when it does not run.
func (m *Mesh) signal(proc Process, sig syscall.Signal) (int, error) {
	pid, err := m.pid(proc)
	if err != nil || pid == 0 {
		return 0, err
	}
	if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return 0, fmt.Errorf("signal %s (pid %d): %w", proc.Name, pid, err)
	}
	return pid, nil
}

// gone waits until process pid has ended and holds nothing: a killed process loses its command line at once, but keeps
// its ports and the locks of its disks until its last thread has left the kernel, and one in fdatasync takes its time.
func gone(ctx context.Context, proc Process, pid int) error {
	return poll(ctx, func() error {
		if pid != 0 && holds(pid) {
			return fmt.Errorf("%s (pid %d) still runs", proc.Name, pid)
		}
		return nil
	})
}

// holds tells whether a process has a thread that is not a zombie. Zombies have given back what they held; who reaps
// them is their parent's business.
func holds(pid int) bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		return false // the pattern is constant
	}
	for _, path := range threads {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // this thread is gone
		}
		// `pid (command) state …`, and the command may hold anything.
		after := stat[bytes.LastIndexByte(stat, ')')+1:]
		if fields := bytes.Fields(after); len(fields) > 0 && fields[0][0] != 'Z' && fields[0][0] != 'X' {
			return true
		}
	}
	return false
}

// finalError ends a poll: waiting longer helps nothing.
type finalError struct{ error }

// poll calls check until it returns nil or a finalError. When ctx ends first, it returns check's last error.
func poll(ctx context.Context, check func() error) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := check()
		var final finalError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &final):
			return final.error
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		}
	}
}
