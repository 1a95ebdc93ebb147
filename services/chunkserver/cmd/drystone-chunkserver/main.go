// Command drystone-chunkserver runs a chunk-server.
package main

import (
	"context"

	"github.com/drystone-store/drystone/services/chunkserver"
	"github.com/drystone-store/drystone/services/kit/app"
)

func main() {
	app.Main("drystone-chunkserver", func(ctx context.Context, cfg chunkserver.Config, env app.Env) error {
		service, err := chunkserver.New(cfg, env)
		if err != nil {
			return err
		}
		return service.Run(ctx)
	})
}
