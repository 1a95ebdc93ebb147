package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/drystone-store/drystone/services/drystone"
	"github.com/drystone-store/drystone/services/kit/log"
)

// memoryLimit is the soft limit of the Go heap and runtime unless GOMEMLIMIT is set. Near it the collector works
// harder, so the process stays under 1 GiB while large objects stream through it.
const memoryLimit = 768 << 20

func newUp(g *globals) *cobra.Command {
	cfg := drystone.Config{}
	var level string
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run the whole object store in this process",
		Long: `Runs front-door, metadata, placement, chunk-servers and repair in one process, on an embedded etcd, with everything
in one folder. The first start lays the folder out and makes the root token in its file "token". Later starts take the
topology from the folder: --zones, --nodes and --disks may only grow it.

Standard output gets commands to paste and then, when everything accepts requests, the line "ready". Ctrl-C ends it in
good order; the data stays.`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.Data = g.data
			if err := positive(cmd.Flags(), "zones", "nodes", "disks"); err != nil {
				return err
			}
			if err := cfg.Validate(); err != nil {
				return usageError{err}
			}
			var l slog.Level
			if err := l.UnmarshalText([]byte(level)); err != nil {
				return usagef("--log-level %q: debug, info, warn or error", level)
			}
			if os.Getenv("GOMEMLIMIT") == "" && debug.SetMemoryLimit(-1) == math.MaxInt64 {
				debug.SetMemoryLimit(memoryLimit)
			}
			store, err := drystone.New(cfg, log.New(g.Err, "drystone", l))
			var flag drystone.FlagError
			switch {
			case errors.As(err, &flag):
				return usageError{err}
			case err != nil:
				return err
			}
			return store.Run(cmd.Context(), func(s drystone.Status) error {
				return writeln(g.Out, banner(programName(), g.data, s)+"\nready")
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.REST, "rest", drystone.DefaultREST, "address of the HTTP object API")
	f.StringVar(&cfg.GRPC, "grpc", drystone.DefaultGRPC, "address of the gRPC API")
	f.StringVar(&cfg.Metrics, "metrics", drystone.DefaultMetrics, "address of /metrics, /healthz, /readyz; empty: none")
	f.IntVar(&cfg.Zones, "zones", 0, fmt.Sprintf("failure zones (default %d, or as the data folder has)", drystone.DefaultZones))
	f.IntVar(&cfg.Nodes, "nodes", 0, fmt.Sprintf("chunk-servers (default %d, or as the data folder has)", drystone.DefaultNodes))
	f.IntVar(&cfg.Disks, "disks", 0, fmt.Sprintf("disks of each chunk-server (default %d, or as the data folder has)", drystone.DefaultDisks))
	f.StringVar(&cfg.Scheme, "scheme", "", "erasure code of buckets that ask for none while this runs, rs-K-M; others keep theirs (default: what fits best, rs-5-4 on 3 zones of 3 nodes)")
	f.StringVar(&level, "log-level", "warn", "what goes to standard error as JSON lines: debug, info, warn or error")
	return cmd
}

// positive refuses numbers that are given and make no sense; those that are not given have no value yet.
func positive(f *pflag.FlagSet, names ...string) error {
	for _, name := range names {
		n, err := f.GetInt(name)
		if err != nil {
			return fmt.Errorf("read --%s: %w", name, err)
		}
		if f.Changed(name) && n <= 0 {
			return usagef("--%s %d: 1 is the least", name, n)
		}
	}
	return nil
}
