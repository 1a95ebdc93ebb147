// Command mesh runs Drystone as separate processes on this machine: see package mesh.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/drystone-store/drystone/services/tests/mesh"
)

const usage = `usage: mesh [flags] COMMAND

  up                    start what does not run, wait until the mesh is ready
  down                  end everything, in good order
  status                list the processes
  kill NAME [SIGNAL]    send SIGKILL, or another signal, to a process
  start NAME            start a process again
  restart NAME          end a process in good order and start it again

Processes are called etcd-1, placement-1, metadata-1, frontdoor-1, chunkserver-1, repair-1 and so on.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case errors.Is(err, errUsage):
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "mesh:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage")

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("mesh", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	o := mesh.Options{Size: mesh.Default()}
	flags.StringVar(&o.Root, "root", ".mesh", "the mesh's folder")
	flags.StringVar(&o.Bin, "bin", binaries(), "the folder of the binaries")
	flags.StringVar(&o.Scheme, "scheme", "", "scheme of buckets that ask for none")
	flags.IntVar(&o.Size.ChunkServers, "nodes", o.Size.ChunkServers, "chunk-servers of a fresh mesh")
	flags.IntVar(&o.Size.Zones, "zones", o.Size.Zones, "zones of a fresh mesh")
	flags.IntVar(&o.Size.Disks, "disks", o.Size.Disks, "disks of each chunk-server of a fresh mesh")
	if err := flags.Parse(args); err != nil || flags.NArg() == 0 {
		return errUsage
	}
	command, rest := flags.Arg(0), flags.Args()[1:]
	m, err := mesh.Open(o)
	if err != nil {
		return err
	}
	switch {
	case command == "up" && len(rest) == 0:
		if err := m.Start(ctx); err != nil {
			return fmt.Errorf("%w (logs are in %s)", err, filepath.Join(m.Root(), "run"))
		}
		return banner(out, m)
	case command == "down" && len(rest) == 0:
		return m.Stop(ctx)
	case command == "status" && len(rest) == 0:
		return status(out, m)
	case command == "start" && len(rest) == 1:
		return m.StartProcess(ctx, rest[0])
	case command == "restart" && len(rest) == 1:
		return m.Restart(ctx, rest[0])
	case command == "kill" && (len(rest) == 1 || len(rest) == 2):
		sig, err := signalOf(append(rest, "KILL")[1])
		if err != nil {
			return err
		}
		return m.Kill(ctx, rest[0], sig)
	}
	return errUsage
}

// binaries is where this program lies: `make build` puts all of them side by side.
func binaries() string {
	self, err := os.Executable()
	if err != nil {
		return "bin"
	}
	return filepath.Dir(self)
}

func signalOf(name string) (syscall.Signal, error) {
	signals := map[string]syscall.Signal{
		"KILL": syscall.SIGKILL, "TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "QUIT": syscall.SIGQUIT,
		"STOP": syscall.SIGSTOP, "CONT": syscall.SIGCONT,
	}
	sig, ok := signals[strings.TrimPrefix(strings.ToUpper(name), "SIG")]
	if !ok {
		return 0, fmt.Errorf("signal %q: one of KILL, TERM, INT, QUIT, STOP, CONT", name)
	}
	return sig, nil
}

func banner(out io.Writer, m *mesh.Mesh) error {
	token := filepath.Join(m.Root(), "token")
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, token); err == nil {
			token = rel
		}
	}
	_, err := fmt.Fprintf(out, `The mesh runs: %d processes. Paste:

  export DRYSTONE_ENDPOINT=http://%s DRYSTONE_TOKEN=$(cat %s)
  bin/drystone mb demo && echo hello | bin/drystone put - demo/hello && bin/drystone get demo/hello -
  bin/mesh kill chunkserver-1      # and read on; bin/mesh start chunkserver-1 brings it back
  bin/mesh status
  bin/mesh down

ready
`, len(m.Names("")), m.Addr("frontdoor-1"), token)
	return err
}

func status(out io.Writer, m *mesh.Mesh) error {
	states, err := m.Status()
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "NAME\tPID\tADDRESS\tZONE\tLOG")
	for _, s := range states {
		pid := "down"
		if s.PID != 0 {
			pid = fmt.Sprint(s.PID)
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", s.Name, pid, s.Addr, s.Zone, m.LogPath(s.Name))
	}
	return errors.Join(err, w.Flush())
}
