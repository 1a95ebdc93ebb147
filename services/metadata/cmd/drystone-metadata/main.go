// Command drystone-metadata runs a metadata replica.
package main

import (
	"context"
	"errors"

	"github.com/drystone-store/drystone/services/kit/app"
	"github.com/drystone-store/drystone/services/metadata"
)

func main() {
	app.Main("drystone-metadata", func(ctx context.Context, cfg metadata.Config, env app.Env) error {
		etcd, err := cfg.Etcd.Dial(cfg.Name, env.Log)
		if err != nil {
			return err
		}
		service, err := metadata.New(cfg, env, etcd)
		if err != nil {
			return errors.Join(err, etcd.Close())
		}
		return errors.Join(service.Run(ctx), etcd.Close())
	})
}
