package server

import (
	"context"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
)

// ReportDisks bars disks that failed or stalled under a writer.
func (p *Placement) ReportDisks(
	_ context.Context, req *placementv1.ReportDisksRequest,
) (*placementv1.ReportDisksResponse, error) {
	if len(req.GetReports()) > maxIDs {
		return nil, invalid("reports: at most %d", maxIDs)
	}
	if err := p.state.Ready(); err != nil {
		return nil, err
	}
	return &placementv1.ReportDisksResponse{Barred: p.membership.ReportDisks(req.GetReporter(), req.GetReports())}, nil
}
