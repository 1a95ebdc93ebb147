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

// exitSignalled is the exit status after a second signal.
const exitSignalled = 1

func main() {
	log.QuietLibraries()
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // lives as long as the process
		<-signals
		cancel()
		// Handing signals back to their default would not do: it is to ignore them where a shell's script started us with &.
		<-signals
		os.Exit(exitSignalled)
	}()
	os.Exit(cli.Main(ctx, os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
