// Command drystone-frontdoor runs a front-door replica.
package main

import (
	"context"
	"io"

	"google.golang.org/grpc/grpclog"

	"github.com/drystone-store/drystone/services/frontdoor"
	"github.com/drystone-store/drystone/services/kit/app"
)

func main() {
	// gRPC and the gateway write plain text, a line for each client that hangs up; what they tell is in our own lines.
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))
	app.Main("drystone-frontdoor", func(ctx context.Context, cfg frontdoor.Config, env app.Env) error {
		service, err := frontdoor.New(cfg, env)
		if err != nil {
			return err
		}
		return service.Run(ctx)
	})
}
