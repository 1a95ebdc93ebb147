// Package cluster is repair's view of placement: the topology by watch, the map by walking it.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	"github.com/drystone-store/drystone/services/datapath/nodes"
	"github.com/drystone-store/drystone/services/repair/internal/survey"
)

// Cluster reads placement.
type Cluster struct {
	client   placementv1.PlacementServiceClient
	topology *nodes.Topology
}

// New makes a view; somebody has to run the topology's watch.
func New(client placementv1.PlacementServiceClient, topology *nodes.Topology) *Cluster {
	return &Cluster{client: client, topology: topology}
}

// Volumes walks the whole map in the order of ids. It ends after the first error.
func (c *Cluster) Volumes(ctx context.Context) iter.Seq2[*placementv1.Volume, error] {
	return func(yield func(*placementv1.Volume, error) bool) {
		// Ends the stream when the caller stops early.
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := c.client.ListVolumes(ctx, &placementv1.ListVolumesRequest{})
		for err == nil {
			var page *placementv1.ListVolumesResponse
			if page, err = stream.Recv(); err != nil {
				break
			}
			for _, v := range page.GetVolumes() {
				if !yield(v, nil) {
					return
				}
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(nil, fmt.Errorf("walk the volume map: %w", err))
		}
	}
}

// Disks is the topology as it is now. Errors: UNAVAILABLE when none came before ctx ended.
func (c *Cluster) Disks(ctx context.Context) (survey.Disks, error) {
	if err := c.topology.WaitReady(ctx); err != nil {
		return nil, fmt.Errorf("learn the topology: %w", err)
	}
	return snapshot{c.topology.Snapshot()}, nil
}

type snapshot struct{ nodes *nodes.Snapshot }

// Readable implements survey.Disks. A full or read-only disk is read like any other.
func (s snapshot) Readable(id string) bool {
	disk, node, known := s.nodes.Disk(id)
	if !known || node.GetState() == placementv1.NodeState_NODE_STATE_DOWN {
		return false
	}
	switch disk.GetState() {
	case placementv1.DiskState_DISK_STATE_OK, placementv1.DiskState_DISK_STATE_FULL,
		placementv1.DiskState_DISK_STATE_READ_ONLY:
		return true
	case placementv1.DiskState_DISK_STATE_FAILED, placementv1.DiskState_DISK_STATE_MISSING,
		placementv1.DiskState_DISK_STATE_UNSPECIFIED:
		return false
	}
	return false
}
