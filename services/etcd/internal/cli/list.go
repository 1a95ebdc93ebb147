package cli

import (
	"errors"
	"flag"

	"github.com/drystone-store/drystone/services/etcd/internal/backup"
)

// listSnapshots is for whoever has no shell beside the files, as in a container.
func listSnapshots(args []string, s Streams) error {
	f := flag.NewFlagSet("list", flag.ContinueOnError)
	dir := f.String("dir", "", "`folder` with snapshots")
	if err := parse(f, args, s); err != nil {
		return err
	}
	if *dir == "" {
		return usageError{errors.New("list: --dir is needed")}
	}
	all, err := backup.List(*dir)
	if err != nil {
		return err
	}
	for _, one := range all {
		if err := printLine(s.Out, one); err != nil {
			return err
		}
	}
	return nil
}
