package mesh

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// How long an orderly end may take before we lose patience: a front-door drains for ten seconds.
	stopPatience = 20 * time.Second
	// The last etcd members would look for somebody to hand leadership to for several seconds. A member keeps nothing in
	// memory that is not on its disk, so ending it early costs nothing.
	etcdPatience = time.Second
	// How long a killed process may take to be gone.
	killPatience = 5 * time.Second
	// How long the whole mesh may take to be ready.
	readyPatience = 60 * time.Second
)

// Options say where a mesh lies and what it is made of.
type Options struct {
	// Root is the mesh's folder; Bin that of the binaries.
	Root, Bin string
	// Size counts for a fresh folder; the folder remembers it.
	Size Size
	// Scheme of buckets that ask for none; empty: what fits best.
	Scheme string
	// Env is added to the environment of every process, as `NAME=VALUE`.
	Env []string
}

// Mesh is a set of processes on this machine. Its methods may be used concurrently for different processes.
type Mesh struct {
	root   string
	env    []string
	plan   plan
	token  string
	reaped sync.WaitGroup // one for each process that this Mesh started
}

// Open lays a mesh out in its folder, or finds the one that is there. It starts nothing.
func Open(o Options) (*Mesh, error) {
	root, errRoot := filepath.Abs(cmp.Or(o.Root, ".mesh"))
	bin, errBin := filepath.Abs(cmp.Or(o.Bin, "bin"))
	if err := errors.Join(errRoot, errBin); err != nil {
		return nil, fmt.Errorf("find the mesh's folder: %w", err)
	}
	p, exists, err := load(root)
	if err != nil {
		return nil, err
	}
	if !exists {
		if p, err = draw(root, bin, o.Size.orDefault()); err != nil {
			return nil, err
		}
	}
	m := &Mesh{root: root, env: o.Env, plan: p}
	for _, dir := range []string{"run", "config", "data"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			return nil, fmt.Errorf("make the mesh's folder: %w", err)
		}
	}
	if m.token, err = ensureToken(filepath.Join(root, "token")); err != nil {
		return nil, err
	}
	if err := m.writeConfigs(o.Scheme); err != nil {
		return nil, err
	}
	if exists {
		return m, nil
	}
	// Last: a folder with a plan is a folder that has everything.
	return m, p.save(root)
}

func ensureToken(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(raw)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the token: %w", err)
	}
	random := make([]byte, 32)
	_, _ = rand.Read(random) // It never fails.
	token := "drystone_" + base64.RawURLEncoding.EncodeToString(random)
	return token, replaceFile(path, []byte(token+"\n"))
}

// Token is the root token.
func (m *Mesh) Token() string { return m.token }

// Root is the mesh's folder.
func (m *Mesh) Root() string { return m.root }

// Names lists the processes of a service, or all of them when service is empty.
func (m *Mesh) Names(service string) []string {
	var names []string
	for _, proc := range m.plan.Processes {
		if service == "" || proc.Service == service {
			names = append(names, proc.Name)
		}
	}
	return names
}

// Process tells what the plan says of a process.
func (m *Mesh) Process(name string) (Process, error) { return m.plan.find(name) }

// Addr is where a process is reached: REST of a front-door, the client address of an etcd member, else gRPC. It stays
// the same over restarts; "" if there is no such process.
func (m *Mesh) Addr(name string) string {
	proc, err := m.plan.find(name)
	if err != nil {
		return ""
	}
	return proc.Addr
}

// LogPath is the file of what a process wrote to its standard streams.
func (m *Mesh) LogPath(name string) string { return m.runPath(name, ".log") }

// PID is the process id of a running process, 0 when it does not run.
func (m *Mesh) PID(name string) (int, error) {
	proc, err := m.plan.find(name)
	if err != nil {
		return 0, err
	}
	return m.pid(proc)
}

// Start starts every process that does not run and returns when the mesh is ready.
func (m *Mesh) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	for _, proc := range m.plan.of("etcd") {
		if err := m.ensure(proc); err != nil {
			return err
		}
	}
	for _, proc := range m.plan.of("etcd") {
		if err := m.accepts(ctx, proc); err != nil {
			return err
		}
	}
	for _, proc := range m.plan.Processes {
		if err := m.ensure(proc); err != nil {
			return err
		}
	}
	return m.WaitReady(ctx)
}

// ensure starts a process unless it runs.
func (m *Mesh) ensure(proc Process) error {
	pid, err := m.pid(proc)
	if err != nil || pid != 0 {
		return err
	}
	return m.spawn(proc)
}

// StartProcess starts one process and returns when it accepts connections. One that runs is left alone.
func (m *Mesh) StartProcess(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	proc, err := m.plan.find(name)
	if err != nil {
		return err
	}
	if err := m.ensure(proc); err != nil {
		return err
	}
	return m.accepts(ctx, proc)
}

// Kill sends a signal to a process. After SIGKILL or SIGTERM it returns when the process is gone. A process that does
// not run is an error.
func (m *Mesh) Kill(ctx context.Context, name string, sig syscall.Signal) error {
	proc, err := m.plan.find(name)
	if err != nil {
		return err
	}
	pid, err := m.signal(proc, sig)
	switch {
	case err != nil:
		return err
	case pid == 0:
		return fmt.Errorf("%s does not run", name)
	case sig != syscall.SIGKILL && sig != syscall.SIGTERM:
		return nil
	}
	patience := killPatience
	if sig == syscall.SIGTERM {
		patience = stopPatience
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return gone(ctx, proc, pid)
}

// Restart ends a process in good order, starts it again and returns when it accepts connections.
func (m *Mesh) Restart(ctx context.Context, name string) error {
	if err := m.Kill(ctx, name, syscall.SIGTERM); err != nil {
		return err
	}
	return m.StartProcess(ctx, name)
}

// Stop ends every process in good order, callers before those they call, and kills what does not end. It touches
// nothing that it did not start.
func (m *Mesh) Stop(ctx context.Context) error {
	var errs []error
	for _, service := range []string{"frontdoor", "repair", "metadata", "chunkserver", "placement", "etcd"} {
		errs = append(errs, m.stopService(ctx, service))
	}
	m.reaped.Wait()
	return errors.Join(errs...)
}

func (m *Mesh) stopService(ctx context.Context, service string) error {
	patience := stopPatience
	if service == "etcd" {
		patience = etcdPatience
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	procs := m.plan.of(service)
	var errs []error
	pids := make([]int, len(procs))
	for i, proc := range procs {
		var err error
		pids[i], err = m.signal(proc, syscall.SIGTERM)
		errs = append(errs, err)
	}
	for i, proc := range procs {
		err := gone(ctx, proc, pids[i])
		if err != nil {
			_, killErr := m.signal(proc, syscall.SIGKILL)
			err = errors.Join(fmt.Errorf("%w; killed it", err), killErr)
			if service == "etcd" {
				err = killErr
			}
		}
		for _, suffix := range []string{".pid", ".addr", ".grpc"} {
			if rm := os.Remove(m.runPath(proc.Name, suffix)); rm != nil && !errors.Is(rm, fs.ErrNotExist) {
				errs = append(errs, rm)
			}
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
