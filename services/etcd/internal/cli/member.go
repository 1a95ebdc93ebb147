package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"time"

	"go.etcd.io/etcd/pkg/v3/flags"
	"go.etcd.io/etcd/server/v3/etcdmain"

	"github.com/drystone-store/drystone/services/etcd/internal/join"
	"github.com/drystone-store/drystone/services/kit/log"
)

const memberUsage = `drystone-etcd member [own flags --] [etcd's flags]

Runs an etcd member. Without "--" all flags are etcd's. Drystone's settings come first, so that etcd's flags or ETCD_*
variables replace them:
`

// ours are the settings of every Drystone's etcd: see "The head" in services/README.md.
func ours() [][2]string {
	return [][2]string{
		// etcd's own 10,000 and 5,000 entries stay in memory, and ours are up to 1.5 MiB each.
		{"snapshot-count", "1000"},
		{"snapshot-catchup-entries", "500"},
		// Batches of 1,000 revisions fall behind 10,000 commits a second.
		{"compaction-batch-limit", "10000"},
		// At the quota etcd refuses writes until space is freed, so it must never be met in normal work.
		{"quota-backend-bytes", "4294967296"},
		{"log-level", "warn"},
	}
}

// withOurs puts Drystone's settings before the arguments: of a flag that is given twice, the last counts. One that the
// environment has is left out, since etcd takes a flag beside its variable for a mistake.
func withOurs(args []string) []string {
	var out []string
	for _, s := range ours() {
		if os.Getenv(flags.FlagToEnv("ETCD", s[0])) == "" {
			out = append(out, "--"+s[0]+"="+s[1])
		}
	}
	return append(out, args...)
}

// member runs a member; it returns only when that fails before etcd has begun.
func member(args []string, s Streams) error {
	if len(args) > 0 && (args[0] == "--help" || args[0] == "-h") && !slices.Contains(args, "--") {
		return memberHelp(s.Out)
	}
	var own []string
	if i := slices.Index(args, "--"); i >= 0 {
		own, args = args[:i], args[i+1:]
	}
	var o joinFlags
	f := o.set()
	if err := parse(f, own, s); err != nil {
		return err
	}
	args = withOurs(args)
	if through := list(o.through); len(through) > 0 {
		settings, err := o.settings(through, args)
		if err != nil {
			return err
		}
		if args, err = joined(settings, args, s.Err); err != nil {
			return err
		}
	} else if len(own) > 0 {
		return usageError{errors.New("member: own flags without --join-through say nothing")}
	}
	etcdmain.Main(append([]string{"etcd"}, args...))
	return errors.New("etcd ended without a word")
}

// joined finds out how to start, and returns etcd's arguments for that.
func joined(settings join.Settings, args []string, stderr io.Writer) ([]string, error) {
	logger := log.New(stderr, "drystone-etcd", slog.LevelInfo)
	var start join.Start
	err := untilSignal(func(ctx context.Context) (err error) {
		start, err = join.Join(ctx, settings, logger)
		return err
	})
	if err != nil {
		return nil, err
	}
	for name, value := range start.Flags() {
		// etcd takes a flag beside its variable for a mistake.
		if err := os.Unsetenv(flags.FlagToEnv("ETCD", name)); err != nil {
			return nil, fmt.Errorf("prepare etcd's environment: %w", err)
		}
		args = append(args, "--"+name+"="+value)
	}
	return args, nil
}

// joinFlags are the own flags of `member`.
type joinFlags struct {
	through string
	tls     clientTLS
	timeout time.Duration
}

func (o *joinFlags) set() *flag.FlagSet {
	f := flag.NewFlagSet("member", flag.ContinueOnError)
	f.StringVar(&o.through, "join-through", "", "client `URLs` of the cluster's members, comma-separated: decide by what they say how to start")
	o.tls.flags(f)
	f.DurationVar(&o.timeout, "join-timeout", 0, "how long a member without data waits for the others before it ends with status 1; 0: without end")
	return f
}

func (o *joinFlags) settings(through, args []string) (join.Settings, error) {
	settings, err := join.Parse(args)
	if err != nil {
		return settings, usageError{fmt.Errorf("member: %w", err)}
	}
	if o.timeout < 0 {
		return settings, usageError{errors.New("member: --join-timeout is not negative")}
	}
	settings.Through, settings.Timeout = through, o.timeout
	settings.ThroughTLS, err = o.tls.config(through)
	return settings, err
}

func memberHelp(w io.Writer) error {
	_, err := io.WriteString(w, memberUsage)
	for _, s := range ours() {
		if err == nil {
			_, err = fmt.Fprintf(w, "  --%s=%s\n", s[0], s[1])
		}
	}
	if err == nil {
		_, err = io.WriteString(w, "\nOwn flags:\n")
	}
	if err != nil {
		return fmt.Errorf("print the usage: %w", err)
	}
	f := new(joinFlags).set()
	f.SetOutput(w)
	f.PrintDefaults()
	return nil
}
