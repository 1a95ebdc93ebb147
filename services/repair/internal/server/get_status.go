package server

import (
	"context"

	repairv1 "github.com/drystone-store/drystone/proto/gen/drystone/repair/v1"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/repair/internal/survey"
)

// idle is the only state so far: repair watches and changes nothing.
const idle = "idle"

// GetStatus surveys the whole map, so it costs what the map is long.
func (s *Server) GetStatus(ctx context.Context, _ *repairv1.GetStatusRequest) (*repairv1.GetStatusResponse, error) {
	disks, err := s.cluster.Disks(ctx)
	if err != nil {
		return nil, err
	}
	look := survey.New(disks, clock.Now())
	for v, err := range s.cluster.Volumes(ctx) {
		if err != nil {
			return nil, err
		}
		look.Add(v)
	}
	found := look.Findings()
	resp := &repairv1.GetStatusResponse{State: idle, Unsealed: found.Unsealed}
	for _, spare := range found.Spares {
		resp.Spares = append(resp.Spares, &repairv1.SpareCount{
			Spares: int32(spare.Columns), Volumes: spare.Volumes,
		})
	}
	return resp, nil
}
