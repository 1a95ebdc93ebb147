package mesh

import (
	"path/filepath"
	"strings"
)

// etcdFlags is an etcd member's command line after the binary. The settings are those of the all-in-one's member: see
// "The head" in services/README.md.
func (p plan) etcdFlags(root string, proc Process) []string {
	var cluster []string
	for _, member := range p.of("etcd") {
		cluster = append(cluster, member.Name+"=http://"+member.Peer)
	}
	client, peer := "http://"+proc.Addr, "http://"+proc.Peer
	return []string{
		"--name", proc.Name,
		"--data-dir", filepath.Join(root, "data", proc.Name),
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
		"--initial-cluster", strings.Join(cluster, ","),
		"--initial-cluster-token", filepath.Base(root) + "-" + p.of("etcd")[0].Peer,
		"--snapshot-count", "1000",
		"--snapshot-catchup-entries", "500",
		"--compaction-batch-limit", "10000",
		"--quota-backend-bytes", "4294967296",
		"--log-level", "warn",
	}
}
