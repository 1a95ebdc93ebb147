// Command drystone-frontdoor runs a front-door replica.
package main

import (
	"context"

	"github.com/drystone-store/drystone/services/frontdoor"
	"github.com/drystone-store/drystone/services/kit/app"
)

func main() {
	app.Main("drystone-frontdoor", func(ctx context.Context, cfg frontdoor.Config, env app.Env) error {
		service, err := frontdoor.New(cfg, env)
		if err != nil {
			return err
		}
		return service.Run(ctx)
	})
}
