package auth

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/drystone-store/drystone/services/kit/log"
)

// header is the metadata key; grpc-gateway passes the HTTP header on under it.
const header = "authorization"

// open says which methods need no token: they tell nothing about the data.
func open(method string) bool {
	return strings.HasPrefix(method, "/grpc.health.v1.Health/") || strings.HasPrefix(method, "/grpc.reflection.")
}

// Unary refuses calls without a valid token and tells the others for whom they act.
func (a *Authenticator) Unary(
	ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler,
) (any, error) {
	ctx, err := a.admit(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	return next(ctx, req)
}

// Stream is Unary for streams; it refuses before the handler asks for a first message.
func (a *Authenticator) Stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	ctx, err := a.admit(ss.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	return next(srv, &stream{ServerStream: ss, ctx: ctx})
}

func (a *Authenticator) admit(ctx context.Context, method string) (context.Context, error) {
	if open(method) {
		return ctx, nil
	}
	var value string
	if values := metadata.ValueFromIncomingContext(ctx, header); len(values) > 0 {
		value = values[0]
	}
	tenant, err := a.Check(value)
	if err != nil {
		return nil, err
	}
	log.SetTenant(ctx, tenant)
	return WithTenant(ctx, tenant), nil
}

// stream carries the tenant in its context.
type stream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // grpc.ServerStream has its context as a method
}

// Context implements grpc.ServerStream.
func (s *stream) Context() context.Context { return s.ctx }
