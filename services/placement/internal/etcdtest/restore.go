package etcdtest

import (
	"fmt"
	"path/filepath"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"
)

// restoredRevisions is how far a restore moves revisions ahead, as operators are told to.
const restoredRevisions = 1_000_000_000

// Snapshot saves what a client's member has, and returns the file.
func Snapshot(t *testing.T, client *clientv3.Client) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "snapshot.db")
	_, err := snapshot.NewV3(zap.NewNop()).Save(t.Context(), clientv3.Config{Endpoints: client.Endpoints(), Logger: zap.NewNop()}, file)
	if err != nil {
		t.Fatalf("save a snapshot: %v", err)
	}
	return file
}

// Restore replaces a cluster's one member by another of a snapshot: at the same addresses, in a new cluster of that token.
// The member must be stopped and stays so.
func (c *Cluster) Restore(t *testing.T, file, token string) {
	t.Helper()
	cfg := c.configs[0]
	cfg.Dir = filepath.Join(t.TempDir(), "restored")
	cfg.InitialClusterToken = token
	err := snapshot.NewV3(zap.NewNop()).Restore(snapshot.RestoreConfig{
		SnapshotPath: file, Name: cfg.Name, OutputDataDir: cfg.Dir,
		PeerURLs:       []string{cfg.AdvertisePeerUrls[0].String()},
		InitialCluster: fmt.Sprintf("%s=%s", cfg.Name, cfg.AdvertisePeerUrls[0].String()), InitialClusterToken: token,
		RevisionBump: restoredRevisions, MarkCompacted: true,
	})
	if err != nil {
		t.Fatalf("restore a snapshot: %v", err)
	}
}
