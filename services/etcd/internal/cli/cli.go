// Package cli is the command line of drystone-etcd.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os/signal"
	"syscall"

	"go.etcd.io/etcd/api/v3/version"

	"github.com/drystone-store/drystone/services/kit/app"
)

// Exit statuses of the command.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

const usage = `drystone-etcd runs, saves and restores the etcd under a mesh of separate processes.

  drystone-etcd member [--join-through URL,... --] [etcd's flags]   run a member
  drystone-etcd snapshot --endpoints URL,... --dir DIR              save the cluster's state in a file
  drystone-etcd list --dir DIR                                      show the snapshots in a folder
  drystone-etcd restore --snapshot FILE --data-dir DIR ...          make a member's data of such a file
  drystone-etcd version

Each command has a --help.
`

// Streams are the command's standard streams.
type Streams struct {
	Out, Err io.Writer
}

// Main runs the command line args (without the program's name) and returns the exit status: 0 done, 1 failed, 2 usage.
// A member that runs does not return: etcd ends the process.
func Main(args []string, s Streams) int {
	name := ""
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	var err error
	switch name {
	case "member":
		err = member(args, s)
	case "snapshot":
		err = untilSignal(func(ctx context.Context) error { return takeSnapshot(ctx, args, s) })
	case "list":
		err = listSnapshots(args, s)
	case "restore":
		err = restore(args, s)
	case "version", "--version":
		_, err = fmt.Fprintf(s.Out, "drystone-etcd %s (etcd %s)\n", app.Version(), version.Version)
	case "help", "--help", "-h":
		_, err = io.WriteString(s.Out, usage)
	case "":
		_, _ = io.WriteString(s.Err, usage)
		return exitUsage
	default:
		err = usageError{fmt.Errorf("there is no command %q", name)}
	}
	var wrong usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitDone
	case errors.As(err, &wrong):
		_, _ = fmt.Fprintf(s.Err, "drystone-etcd: %v\nTry `drystone-etcd --help`.\n", err)
		return exitUsage
	}
	_, _ = fmt.Fprintf(s.Err, "drystone-etcd: %v\n", err)
	return exitFailed
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

// Unwrap implements errors.Unwrap's convention.
func (e usageError) Unwrap() error { return e.error }

// parse reads a command's flags; what it returns is for Main.
func parse(f *flag.FlagSet, args []string, s Streams) error {
	f.SetOutput(s.Err)
	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return err
	case err != nil:
		return usageError{err}
	case f.NArg() > 0:
		return usageError{fmt.Errorf("%s: %q is no flag", f.Name(), f.Arg(0))}
	}
	return nil
}

// untilSignal runs f until SIGTERM or SIGINT ends its context.
func untilSignal(f func(context.Context) error) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return f(ctx)
}

// printLine writes v as one line of JSON.
func printLine(w io.Writer, v any) error {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		return fmt.Errorf("print what was done: %w", err)
	}
	return nil
}
