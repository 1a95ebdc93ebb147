// Package cli is the `drystone` command: the all-in-one and the object commands.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
)

// Streams are the command's standard streams.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Main runs the command line args (without the program's name) and returns the exit status: 0 done, 1 failed,
// 2 usage. It ends early when ctx does.
func Main(ctx context.Context, args []string, s Streams) int {
	root := newRoot(s)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	// Flags behind a wrong one were not read.
	g := globals{Streams: s, json: slices.Contains(args, "--json")}
	g.complain(err)
	code := status(err)
	if code == exitUsage && !g.json {
		_, _ = fmt.Fprintf(s.Err, "Try `%s --help`.\n", cmd.CommandPath())
	}
	return code
}

func newRoot(s Streams) *cobra.Command {
	g := &globals{Streams: s}
	root := &cobra.Command{
		Use:   "drystone",
		Short: "An erasure-coded object store that shows its work",
		Long: `drystone runs a whole object store in one process, and stores, reads and lists objects in any.

  drystone up                          start everything, data in ./.drystone
  drystone mb photos                   make a bucket
  drystone put cat.jpg photos/cat.jpg  store a file
  drystone get photos/cat.jpg -        read it to standard output

The object commands find the front-door and the token by --endpoint and --token or --token-file, by DRYSTONE_ENDPOINT
and DRYSTONE_TOKEN or DRYSTONE_TOKEN_FILE, or in the data folder of a running "drystone up" (./.drystone unless --data names another).`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("there is no command %q", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	g.flags(root.PersistentFlags())
	root.AddCommand(
		newUp(g),

		newMakeBucket(g), newRemoveBucket(g), newList(g), newPut(g), newGet(g), newStat(g), newRemove(g),
		newCluster(g), newSmoke(g), newKube(g), newVersion(g),
	)
	return root
}

// between checks the number of arguments as a matter of usage.
func between(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return usagef("%s: wrong number of arguments; usage: %s", cmd.Name(), cmd.UseLine())
		}
		return nil
	}
}

// atLeast checks the number of arguments as a matter of usage.
func atLeast(least int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least {
			return usagef("%s: wrong number of arguments; usage: %s", cmd.Name(), cmd.UseLine())
		}
		return nil
	}
}
