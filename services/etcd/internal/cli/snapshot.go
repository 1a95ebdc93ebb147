package cli

import (
	"context"
	"errors"
	"flag"
	"time"

	"github.com/drystone-store/drystone/services/etcd/internal/backup"
)

const (
	// snapshotTimeout is enough for the quota's 4 GiB at 10 MiB/s.
	snapshotTimeout = 10 * time.Minute
	// keepSnapshots of one a day is a week.
	keepSnapshots = 7
)

func takeSnapshot(ctx context.Context, args []string, s Streams) error {
	var o backup.Options
	var endpoints string
	var files clientTLS
	f := flag.NewFlagSet("snapshot", flag.ContinueOnError)
	f.StringVar(&endpoints, "endpoints", "", "client `URLs` of the members, comma-separated; the one that is furthest is asked")
	f.StringVar(&o.Dir, "dir", "", "`folder` for snapshots")
	f.IntVar(&o.Keep, "keep", keepSnapshots, "how many snapshots to keep; older ones are removed once a new one is whole")
	f.DurationVar(&o.Timeout, "timeout", snapshotTimeout, "how long all of it may take")
	files.flags(f)
	if err := parse(f, args, s); err != nil {
		return err
	}
	o.Endpoints = list(endpoints)
	switch {
	case len(o.Endpoints) == 0 || o.Dir == "":
		return usageError{errors.New("snapshot: --endpoints and --dir are needed")}
	case o.Keep < 1:
		return usageError{errors.New("snapshot: --keep 1 is the least")}
	case o.Timeout <= 0:
		return usageError{errors.New("snapshot: --timeout is positive")}
	}
	var err error
	if o.TLS, err = files.config(o.Endpoints); err != nil {
		return err
	}
	taken, err := backup.Take(ctx, o)
	if err != nil {
		return err
	}
	return printLine(s.Out, taken)
}
