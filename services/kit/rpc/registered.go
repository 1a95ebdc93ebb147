package rpc

import (
	"context"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// registered is the transport of "inproc:<name>": whoever has the name now, so a restarted service is found.
type registered struct {
	registry     *Registry
	name, caller string
	last         atomic.Pointer[inProcess]
}

func (r *registered) Invoke(ctx context.Context, full string, req, resp any, opts ...grpc.CallOption) error {
	c, err := r.connection()
	if err != nil {
		return err
	}
	return c.Invoke(ctx, full, req, resp, opts...)
}

func (r *registered) NewStream(ctx context.Context, desc *grpc.StreamDesc, full string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	c, err := r.connection()
	if err != nil {
		return nil, err
	}
	return c.NewStream(ctx, desc, full, opts...)
}

func (r *registered) connection() (*inProcess, error) {
	s, ok := r.registry.Lookup(r.name)
	if !ok {
		return nil, fault.New(codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE, "%s does not run in this process", r.name)
	}
	if c := r.last.Load(); c != nil && c.server == s {
		return c, nil
	}
	c := s.inProcess(r.caller)
	r.last.Store(c)
	return c, nil
}
