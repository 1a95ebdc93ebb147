// Command drystone-etcd runs, saves and restores the etcd under a mesh of separate processes.
package main

import (
	"os"

	"github.com/drystone-store/drystone/services/etcd/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], cli.Streams{Out: os.Stdout, Err: os.Stderr}))
}
