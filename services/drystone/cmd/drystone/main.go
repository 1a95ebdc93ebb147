// Command drystone is the one binary for people: it runs a whole object store, and stores and reads objects.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/drystone-store/drystone/services/drystone/internal/cli"
	"github.com/drystone-store/drystone/services/kit/log"
)

func main() {
	log.QuietLibraries()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // from then on a signal ends the process at once
	code := cli.Main(ctx, os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	os.Exit(code)
}
