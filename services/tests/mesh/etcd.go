package mesh

import (
	"path/filepath"
	"strings"
)

// etcdArgs is an etcd member's command line after the binary.
func (p plan) etcdArgs(root string, proc Process) []string {
	var cluster []string
	for _, member := range p.of("etcd") {
		cluster = append(cluster, member.Name+"=http://"+member.Peer)
	}
	client, peer := "http://"+proc.Addr, "http://"+proc.Peer
	return []string{
		"member",
		"--name", proc.Name,
		"--data-dir", filepath.Join(root, "data", proc.Name),
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
		"--initial-cluster", strings.Join(cluster, ","),
		"--initial-cluster-token", filepath.Base(root) + "-" + p.of("etcd")[0].Peer,
	}
}
