package cli

import (
	"errors"
	"flag"

	"github.com/drystone-store/drystone/services/etcd/internal/backup"
)

func restore(args []string, s Streams) error {
	var o backup.RestoreOptions
	var peers string
	f := flag.NewFlagSet("restore", flag.ContinueOnError)
	f.StringVar(&o.Snapshot, "snapshot", "", "`file` that drystone-etcd snapshot (or etcdctl snapshot save) made")
	f.StringVar(&o.DataDir, "data-dir", "", "`folder` of the member; it may exist, but hold no member")
	f.StringVar(&o.Name, "name", "", "the member's `name`")
	f.StringVar(&o.InitialCluster, "initial-cluster", "", "all members of the new cluster, `NAME=URL,...`: the same for each of them")
	f.StringVar(&o.Token, "initial-cluster-token", "", "`token` of the new cluster, the same for all members that are restored, and never used before (default: a new one, which fits no other member)")
	f.StringVar(&peers, "initial-advertise-peer-urls", "", "`URLs` of the member for other members (default: as in --initial-cluster)")
	f.Uint64Var(&o.BumpRevision, "bump-revision", 0, "add this to the revision and mark all before as compacted, so that no watcher goes on as if nothing had happened")
	if err := parse(f, args, s); err != nil {
		return err
	}
	if o.Snapshot == "" || o.DataDir == "" || o.Name == "" || o.InitialCluster == "" {
		return usageError{errors.New("restore: --snapshot, --data-dir, --name and --initial-cluster are needed")}
	}
	o.PeerURLs = list(peers)
	restored, err := backup.Restore(o)
	if err != nil {
		return err
	}
	return printLine(s.Out, restored)
}
