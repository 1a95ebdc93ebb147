package mesh

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Size is how many processes of each kind there are. The zero value of a field means its default.
type Size struct {
	Etcd, FrontDoors, Metadata, Placement, ChunkServers, Repair int
	Zones                                                       int
	// Disks of each chunk-server.
	Disks int
}

// Default is the mesh of `make mesh`: it survives the loss of a zone and of one chunk-server more.
func Default() Size {
	return Size{Etcd: 3, FrontDoors: 2, Metadata: 2, Placement: 2, ChunkServers: 9, Repair: 1, Zones: 3, Disks: 1}
}

// orDefault fills in what s leaves open.
func (s Size) orDefault() Size {
	d := Default()
	for _, f := range []struct{ have, want *int }{
		{&s.Etcd, &d.Etcd},
		{&s.FrontDoors, &d.FrontDoors},
		{&s.Metadata, &d.Metadata},
		{&s.Placement, &d.Placement},
		{&s.ChunkServers, &d.ChunkServers},
		{&s.Repair, &d.Repair},
		{&s.Zones, &d.Zones},
		{&s.Disks, &d.Disks},
	} {
		if *f.have == 0 {
			*f.have = *f.want
		}
	}
	return s
}

// Process is one process of the plan.
type Process struct {
	// Name is `<service>-<i>`, i from 1.
	Name string `json:"name"`
	// Service is etcd, placement, metadata, chunkserver, frontdoor or repair.
	Service string `json:"service"`
	// Args is the command line, the binary's path first.
	Args []string `json:"args"`
	// Addr is what others reach it at, `host:port`; of a front-door that is REST.
	Addr string `json:"addr"`
	// GRPC is a front-door's gRPC address.
	GRPC string `json:"grpc,omitempty"`
	// Peer is an etcd member's address for other members.
	Peer string `json:"peer,omitempty"`
	// Debug serves /metrics, /healthz and /readyz.
	Debug string `json:"debug,omitempty"`
	// Zone and Rack of a chunk-server.
	Zone string `json:"zone,omitempty"`
	Rack string `json:"rack,omitempty"`
}

// plan is the whole mesh, in the order of starting.
type plan struct {
	Size      Size      `json:"size"`
	Processes []Process `json:"processes"`
}

const planFile = "plan.json"

func (p plan) of(service string) []Process {
	var out []Process
	for _, proc := range p.Processes {
		if proc.Service == service {
			out = append(out, proc)
		}
	}
	return out
}

func (p plan) find(name string) (Process, error) {
	i := slices.IndexFunc(p.Processes, func(proc Process) bool { return proc.Name == name })
	if i < 0 {
		return Process{}, fmt.Errorf("the mesh has no process %q; `mesh status` lists them", name)
	}
	return p.Processes[i], nil
}

// addresses returns one kind of address of every process of a service.
func (p plan) addresses(service string, of func(Process) string) []string {
	var out []string
	for _, proc := range p.of(service) {
		out = append(out, of(proc))
	}
	return out
}

func load(root string) (plan, bool, error) {
	var p plan
	raw, err := os.ReadFile(filepath.Join(root, planFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return p, false, nil
	case err != nil:
		return p, false, fmt.Errorf("read the mesh's plan: %w", err)
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return p, false, fmt.Errorf("read %s: %w", filepath.Join(root, planFile), err)
	}
	return p, true, nil
}

func (p plan) save(root string) error {
	raw, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("write the mesh's plan: %w", err)
	}
	return replaceFile(filepath.Join(root, planFile), append(raw, '\n'))
}

// replaceFile writes a file so that readers see the old one or the whole new one.
func replaceFile(path string, data []byte) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// draw makes a plan of size s for the folder root with the binaries of bin. Addresses are chosen here, once.
func draw(root, bin string, s Size) (plan, error) {
	p := plan{Size: s}
	add := func(service, binary string, n int) {
		for i := range n {
			p.Processes = append(p.Processes, Process{
				Name: fmt.Sprintf("%s-%d", service, i+1), Service: service, Args: []string{filepath.Join(bin, binary)},
			})
		}
	}
	add("etcd", "drystone-etcd", s.Etcd)
	add("placement", "drystone-placement", s.Placement)
	add("chunkserver", "drystone-chunkserver", s.ChunkServers)
	add("metadata", "drystone-metadata", s.Metadata)
	add("repair", "drystone-repair", s.Repair)
	add("frontdoor", "drystone-frontdoor", s.FrontDoors)

	ports, err := freePorts(3 * len(p.Processes))
	if err != nil {
		return plan{}, err
	}
	next := func() string {
		addr := fmt.Sprintf("127.0.0.1:%d", ports[0])
		ports = ports[1:]
		return addr
	}
	servers := 0
	for i := range p.Processes {
		proc := &p.Processes[i]
		proc.Addr = next()
		switch proc.Service {
		case "etcd":
			proc.Peer = next()
			continue
		case "frontdoor":
			proc.GRPC = next()
		case "chunkserver":
			zone := servers % s.Zones
			proc.Zone = fmt.Sprintf("z%d", zone+1)
			proc.Rack = fmt.Sprintf("z%d-r%d", zone+1, servers/s.Zones%racksPerZone+1)
			servers++
		}
		proc.Debug = next()
		proc.Args = append(proc.Args, "--config", filepath.Join(root, "config", proc.Name+".yaml"))
	}
	for i := range p.Processes {
		if proc := &p.Processes[i]; proc.Service == "etcd" {
			proc.Args = append(proc.Args, p.etcdArgs(root, *proc)...)
		}
	}
	return p, nil
}

// racksPerZone makes the smallest topology in which racks mean something.
const racksPerZone = 2
