// Command drystone-repair runs a repair replica.
package main

import (
	"context"

	"github.com/drystone-store/drystone/services/kit/app"
	"github.com/drystone-store/drystone/services/repair"
)

func main() {
	app.Main("drystone-repair", func(ctx context.Context, cfg repair.Config, env app.Env) error {
		service, err := repair.New(cfg, env)
		if err != nil {
			return err
		}
		return service.Run(ctx)
	})
}
