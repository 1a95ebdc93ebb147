package server

import (
	"google.golang.org/grpc"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
)

// listBatch is how many entries one message has: some 100 KiB.
const listBatch = 256

// ListVolumes streams the map as it is when the call arrives.
func (p *Placement) ListVolumes(
	_ *placementv1.ListVolumesRequest, stream grpc.ServerStreamingServer[placementv1.ListVolumesResponse],
) error {
	var batch []*placementv1.Volume
	flush := func() error {
		full := &placementv1.ListVolumesResponse{Volumes: batch}
		batch = nil
		return stream.Send(full)
	}
	err := p.state.ListVolumes(stream.Context(), func(v *placementv1.Volume) error {
		batch = append(batch, v)
		if len(batch) < listBatch {
			return nil
		}
		return flush()
	})
	if err != nil || len(batch) == 0 {
		return err
	}
	return flush()
}
