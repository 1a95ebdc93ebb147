// Package memcluster is a placement and chunk-servers in memory, behind the real gRPC services, for tests of readers
// and writers. What a chunk-server answers is kept as a real one keeps it, its rules are enforced, and faults can be
// scripted.
package memcluster

import (
	"fmt"
	"log/slog"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	"github.com/drystone-store/drystone/services/kit/rpc"
)

// PlacementTarget is where the placement of a cluster is dialed.
const PlacementTarget = "inproc:placement"

// ClusterID is every cluster's.
const ClusterID = "c1d0b5b0-0000-4000-8000-00000000c1d0"

// Options say what a cluster consists of.
type Options struct {
	Zones, NodesPerZone int
	// VolumeBytes is the capacity of volumes; 0: 64 MiB.
	VolumeBytes uint64
	// Log may be nil.
	Log *slog.Logger
}

// Cluster is a placement and its chunk-servers.
type Cluster struct {
	Registry  *rpc.Registry
	Dialer    *rpc.Dialer
	Placement *Placement
	// Nodes are named zone/node, "z0n0" and on; each has one disk, named like the node with "-d0".
	Nodes []*Node
}

// New makes a cluster in which all is well.
func New(o Options) *Cluster {
	if o.VolumeBytes == 0 {
		o.VolumeBytes = 64 << 20
	}
	c := &Cluster{Registry: rpc.NewRegistry()}
	c.Dialer = rpc.NewDialer(rpc.DialerOptions{Registry: c.Registry, Caller: "test", Log: o.Log})
	c.Placement = newPlacement(o.VolumeBytes)
	for z := range o.Zones {
		for n := range o.NodesPerZone {
			node := newNode(fmt.Sprintf("z%d", z), fmt.Sprintf("z%dn%d", z, n))
			c.Nodes = append(c.Nodes, node)
			c.Placement.register(node)
			server := rpc.NewServer(rpc.ServerOptions{Name: node.Name, Log: o.Log})
			chunkv1.RegisterChunkServiceServer(server, node)
			c.Registry.Register(node.Name, server)
		}
	}
	server := rpc.NewServer(rpc.ServerOptions{Name: "placement", Log: o.Log})
	placementv1.RegisterPlacementServiceServer(server, c.Placement)
	c.Registry.Register("placement", server)
	return c
}

// Node finds a chunk-server by name.
func (c *Cluster) Node(name string) *Node {
	for _, n := range c.Nodes {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// Zone lists the chunk-servers of a zone.
func (c *Cluster) Zone(name string) []*Node {
	var nodes []*Node
	for _, n := range c.Nodes {
		if n.Zone == name {
			nodes = append(nodes, n)
		}
	}
	return nodes
}
