package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// What this package and its callers read of a Node's labels.
const (
	// LabelZone is the Node's zone, as the cloud or its administrator says.
	LabelZone = "topology.kubernetes.io/zone"
	// LabelHostname is the machine's name.
	LabelHostname = "kubernetes.io/hostname"
)

// Node is a machine of the cluster.
type Node struct {
	Name   string
	Labels map[string]string
}

// Node reads a Node; it needs the right to `get` `nodes`, by a ClusterRole. Errors: ErrNotFound, ErrForbidden, others.
func (c *Client) Node(ctx context.Context, name string) (Node, error) {
	if name == "" {
		return Node{}, errors.New("kubernetes: get a node: its name is empty")
	}
	var out struct {
		Metadata meta `json:"metadata"`
	}
	err := c.do(ctx, call{
		method: http.MethodGet, what: fmt.Sprintf("get node %q", name), path: []string{"api", "v1", "nodes", name},
		// The rest of a Node is a hundred times longer.
		accept: "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1, " + jsonType,
		out:    &out,
	})
	if err != nil {
		return Node{}, err
	}
	return Node{Name: out.Metadata.Name, Labels: out.Metadata.Labels}, nil
}
