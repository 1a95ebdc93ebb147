// Command drystone is the one binary for people: it runs a whole object store, and stores and reads objects.
package main

import (
	"os"

	"github.com/drystone-store/drystone/services/drystone/internal/cli"
	"github.com/drystone-store/drystone/services/kit/app"
	"github.com/drystone-store/drystone/services/kit/log"
)

func main() {
	log.QuietLibraries()
	os.Exit(cli.Main(app.UntilSignal(), os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
