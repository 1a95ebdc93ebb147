package mesh

import (
	"fmt"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// writeConfigs writes the configuration file of every service process. Only what differs from the defaults is in
// them, so that a mesh runs what a plain installation does.
func (m *Mesh) writeConfigs(scheme string) error {
	for _, proc := range m.plan.Processes {
		if proc.Service == "etcd" {
			continue
		}
		raw, err := yaml.Marshal(m.config(proc, scheme))
		if err != nil {
			return fmt.Errorf("configure %s: %w", proc.Name, err)
		}
		if err := replaceFile(filepath.Join(m.root, "config", proc.Name+".yaml"), raw); err != nil {
			return err
		}
	}
	return nil
}

// maxSocketPath is what the kernel takes for a unix socket, less the closing zero byte. Nodes in a deeper folder are
// reached over TCP.
const maxSocketPath = 107

func (m *Mesh) config(proc Process, scheme string) map[string]any {
	c := map[string]any{"name": proc.Name, "debug_listen": proc.Debug, "debug_pprof": true, "log_level": "info"}
	address := func(p Process) string { return p.Addr }
	etcd := map[string]any{"endpoints": m.plan.addresses("etcd", address)}
	placement := m.plan.addresses("placement", address)
	switch proc.Service {
	case "placement":
		c["listen"], c["etcd"] = proc.Addr, etcd
		if scheme != "" {
			c["default_scheme"] = scheme
		}
		c["expected_nodes"] = m.plan.Size.ChunkServers
	case "metadata":
		c["listen"], c["etcd"] = proc.Addr, etcd
	case "chunkserver":
		c["listen"], c["placement"] = proc.Addr, placement
		c["place"] = map[string]any{"zone": proc.Zone, "rack": proc.Rack}
		if socket := m.runPath(proc.Name, ".sock"); len(socket) <= maxSocketPath {
			c["socket"] = socket
		}
		var disks []string
		for d := range m.plan.Size.Disks {
			disks = append(disks, filepath.Join(m.root, "data", proc.Name, fmt.Sprintf("disk%d", d)))
		}
		c["disks"] = disks
	case "repair":
		c["listen"], c["placement"] = proc.Addr, placement
	case "frontdoor":
		c["rest_listen"], c["grpc_listen"] = proc.Addr, proc.GRPC
		c["metadata"], c["placement"] = m.plan.addresses("metadata", address), placement
		c["token_file"] = filepath.Join(m.root, "token")
	}
	return c
}
