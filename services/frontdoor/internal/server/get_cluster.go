package server

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/kit/clock"
)

// GetCluster implements apiv1.ClusterServiceServer.
func (s *clusters) GetCluster(context.Context, *apiv1.GetClusterRequest) (*apiv1.GetClusterResponse, error) {
	topology, nodes, err := s.cluster.Get()
	if err != nil {
		return nil, err
	}
	counts := topology.GetVolumes()
	resp := &apiv1.GetClusterResponse{
		ClusterId:     topology.GetClusterId(),
		Version:       s.version,
		DefaultScheme: schemeText(topology.GetDefaultScheme()),
		WriteScheme:   schemeText(topology.GetWriteScheme()),
		Floor:         topology.GetFloor(),
		Volumes:       &apiv1.VolumeCounts{Opening: counts.GetOpening(), Open: counts.GetOpen(), Sealed: counts.GetSealed()},
		Time:          timestamppb.New(clock.Now()),
	}
	for _, n := range nodes { // In the order of zones.
		last := len(resp.GetZones()) - 1
		if last < 0 || resp.GetZones()[last].GetName() != n.GetPlace().GetZone() {
			resp.Zones = append(resp.Zones, &apiv1.Zone{Name: n.GetPlace().GetZone()})
			last++
		}
		resp.Zones[last].Nodes = append(resp.Zones[last].Nodes, toNode(n))
	}
	return resp, nil
}

// schemeText is empty for no scheme: nothing keeps the floor.
func schemeText(p *typesv1.Scheme) string {
	scheme, err := erasure.FromProto(p)
	if err != nil {
		return ""
	}
	return scheme.String()
}

func toNode(n *placementv1.Node) *apiv1.Node {
	out := &apiv1.Node{
		Name:    n.GetPlace().GetNode(),
		Rack:    n.GetPlace().GetRack(),
		Address: n.GetAddress(),
		State:   nodeState(n.GetState()),
		Disks:   make([]*apiv1.Disk, len(n.GetDisks())),
	}
	for i, d := range n.GetDisks() {
		out.Disks[i] = &apiv1.Disk{
			Id:            d.GetId(),
			Path:          d.GetPath(),
			State:         diskState(d.GetState()),
			Detail:        d.GetDetail(),
			CapacityBytes: int64(d.GetCapacityBytes()),
			FreeBytes:     int64(d.GetFreeBytes()),
			Chunks:        int64(d.GetChunks()),
		}
	}
	return out
}

func nodeState(s placementv1.NodeState) string {
	switch s {
	case placementv1.NodeState_NODE_STATE_UP:
		return "up"
	case placementv1.NodeState_NODE_STATE_SUSPECT:
		return "suspect"
	case placementv1.NodeState_NODE_STATE_DOWN:
		return "down"
	case placementv1.NodeState_NODE_STATE_UNSPECIFIED:
	}
	return "unknown"
}

func diskState(s placementv1.DiskState) string {
	switch s {
	case placementv1.DiskState_DISK_STATE_OK:
		return "ok"
	case placementv1.DiskState_DISK_STATE_FULL:
		return "full"
	case placementv1.DiskState_DISK_STATE_READ_ONLY:
		return "read-only"
	case placementv1.DiskState_DISK_STATE_FAILED:
		return "failed"
	case placementv1.DiskState_DISK_STATE_MISSING:
		return "missing"
	case placementv1.DiskState_DISK_STATE_UNSPECIFIED:
	}
	return "unknown"
}
