// Command drystone-placement runs a placement replica.
package main

import (
	"context"
	"errors"

	"github.com/drystone-store/drystone/services/kit/app"
	"github.com/drystone-store/drystone/services/placement"
)

func main() {
	app.Main("drystone-placement", func(ctx context.Context, cfg placement.Config, env app.Env) error {
		etcd, err := cfg.Etcd.Dial(env.Log)
		if err != nil {
			return err
		}
		service, err := placement.New(cfg, env, etcd)
		if err != nil {
			return errors.Join(err, etcd.Close())
		}
		return errors.Join(service.Run(ctx), etcd.Close())
	})
}
