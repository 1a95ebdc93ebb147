package server

import (
	"context"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/metadata/internal/head"
)

// Commit implements MetadataService. A mutation that is malformed fails alone, like any other refusal.
func (s *Server) Commit(ctx context.Context, r *metadatav1.CommitRequest) (*metadatav1.CommitResponse, error) {
	mutations := r.GetMutations()
	if len(mutations) == 0 || len(mutations) > maxMutations {
		return nil, invalid("%d mutations are not within 1 and %d", len(mutations), maxMutations)
	}
	outcomes := make([]*metadatav1.Outcome, len(mutations))
	valid := make([]*metadatav1.Mutation, 0, len(mutations))
	place := make([]int, 0, len(mutations))
	for i, m := range mutations {
		if err := checkMutation(m); err != nil {
			outcomes[i] = outcome(head.Result{Err: err})
			continue
		}
		valid = append(valid, m)
		place = append(place, i)
	}
	for i, result := range s.names.Commit(ctx, valid) {
		outcomes[place[i]] = outcome(result)
	}
	return &metadatav1.CommitResponse{Outcomes: outcomes}, nil
}

func outcome(r head.Result) *metadatav1.Outcome {
	o := &metadatav1.Outcome{Version: r.Version, Revision: r.Revision}
	o.Code, o.Reason, o.Message = fault.ToWire(r.Err)
	return o
}
