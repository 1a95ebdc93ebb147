// Command kinde2e proves the chart on the cluster that kubectl talks to; see `make kind-e2e`.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/drystone-store/drystone/services/tests/kinde2e"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := kinde2e.Run(ctx, kinde2e.FromEnvironment(), os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "kind-e2e:", err)
		os.Exit(1)
	}
	fmt.Println("kind-e2e: everything held")
}
