package backup

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"
)

// RestoreOptions say whose data to make of what.
type RestoreOptions struct {
	// Snapshot is a file that Take made.
	Snapshot string
	// DataDir is the member's folder. It may exist, and be where a volume is mounted, but hold no member.
	DataDir string
	// Name, InitialCluster, Token and PeerURLs are as in etcd's flags of the member. Without PeerURLs those of the
	// member in InitialCluster are taken. Without Token a new one is made: from token and URLs come the ids, and a member
	// that still has data of a cluster with the same ones would be let in.
	Name, InitialCluster, Token string
	PeerURLs                    []string
	// BumpRevision is added to the revision, and all before is marked as compacted; 0 for neither.
	BumpRevision uint64
}

// Restored is a member's folder that is ready to start on.
type Restored struct {
	DataDir string `json:"dataDir"`
	Name    string `json:"name"`
	// Token is the cluster's, for other members that are restored; those that join do not need it.
	Token    string `json:"token"`
	Snapshot string `json:"snapshot"`
	SHA256   string `json:"sha256"`
}

// unfinished is where data are made, so that a member never starts on half of them.
const unfinished = ".restoring"

// Restore makes a member's data of a snapshot. They appear whole or not at all. Errors: ErrDamaged, the folder has a
// member, names and URLs that do not fit together, those of the disk.
func Restore(o RestoreOptions) (Restored, error) {
	sum, _, err := Verify(o.Snapshot)
	if err != nil {
		return Restored{}, err
	}
	if len(o.PeerURLs) == 0 {
		cluster, err := types.NewURLsMap(o.InitialCluster)
		if err != nil {
			return Restored{}, fmt.Errorf("restore: the initial cluster: %w", err)
		}
		o.PeerURLs = cluster[o.Name].StringSlice()
	}
	if o.Token == "" {
		o.Token = "restored-" + rand.Text()
	}
	work, member := filepath.Join(o.DataDir, unfinished), filepath.Join(o.DataDir, "member")
	if _, err := os.Stat(member); !errors.Is(err, fs.ErrNotExist) {
		return Restored{}, fmt.Errorf("restore: %s holds a member: move it away first", o.DataDir)
	}
	if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
		return Restored{}, fmt.Errorf("restore: %w", err)
	}
	if err := os.RemoveAll(work); err != nil {
		return Restored{}, fmt.Errorf("restore: remove what another run left: %w", err)
	}
	err = snapshot.NewV3(zap.NewNop()).Restore(snapshot.RestoreConfig{
		SnapshotPath: o.Snapshot, Name: o.Name, OutputDataDir: work, PeerURLs: o.PeerURLs,
		InitialCluster: o.InitialCluster, InitialClusterToken: o.Token,
		RevisionBump: o.BumpRevision, MarkCompacted: o.BumpRevision > 0,
	})
	if err != nil {
		return Restored{}, fmt.Errorf("restore: %w", errors.Join(err, os.RemoveAll(work)))
	}
	for _, dir := range []string{filepath.Join("member", "wal"), filepath.Join("member", "snap"), "member"} {
		if err := syncDir(filepath.Join(work, dir)); err != nil {
			return Restored{}, fmt.Errorf("restore: %w", err)
		}
	}
	if err := os.Rename(filepath.Join(work, "member"), member); err != nil {
		return Restored{}, fmt.Errorf("restore: %w", err)
	}
	if err := errors.Join(syncDir(o.DataDir), os.RemoveAll(work)); err != nil {
		return Restored{}, fmt.Errorf("restore: %w", err)
	}
	return Restored{DataDir: o.DataDir, Name: o.Name, Token: o.Token, Snapshot: o.Snapshot, SHA256: sum}, nil
}
