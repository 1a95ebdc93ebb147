package server

import (
	"context"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
)

// StartTerm begins a term of a writer.
func (p *Placement) StartTerm(
	ctx context.Context, req *placementv1.StartTermRequest,
) (*placementv1.StartTermResponse, error) {
	if err := checkWriter(req.GetWriter()); err != nil {
		return nil, err
	}
	term, err := p.state.StartTerm(ctx, req.GetWriter())
	if err != nil {
		return nil, err
	}
	return &placementv1.StartTermResponse{
		Term: term.Number, LengthMs: term.Length.Milliseconds(), LeaseMs: term.Lease.Milliseconds(),
	}, nil
}
