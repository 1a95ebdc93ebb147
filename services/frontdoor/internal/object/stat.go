package object

import (
	"context"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
)

// Stat describes an object. Errors: those of api.v1.ObjectService.StatObject.
func (s *Service) Stat(ctx context.Context, req *apiv1.StatObjectRequest) (Object, error) {
	if err := s.gates.others.enter(ctx); err != nil {
		return Object{}, err
	}
	defer s.gates.others.leave()
	cond, err := parseConditions(req.GetPreconditions())
	if err != nil {
		return Object{}, err
	}
	o, err := s.find(ctx, req.GetBucket(), req.GetKey(), req.GetVersionId())
	if err != nil {
		return Object{}, err
	}
	return o, cond.checkRead(o)
}
