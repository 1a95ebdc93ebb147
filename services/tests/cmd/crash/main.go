// Command crash kills an all-in-one store with SIGKILL at random instants under load, starts it again on the same
// data, and checks that everything acknowledged reads back and that every name has its bytes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/drystone-store/drystone/services/tests/bench"
	"github.com/drystone-store/drystone/services/tests/crash"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "crash:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("crash", flag.ContinueOnError)
	binary := flags.String("binary", "bin/drystone", "the drystone binary to kill")
	rounds := flags.Int("rounds", 200, "how often")
	clients := flags.Int("clients", 16, "concurrent clients")
	seed := flags.Uint64("seed", uint64(time.Now().UnixNano()), "seed of the load and of the instants")
	if err := flags.Parse(args); err != nil {
		return err
	}
	data, err := os.MkdirTemp("", "drystone-crash-")
	if err != nil {
		return err
	}
	defer func() {
		if err == nil {
			err = os.RemoveAll(data)
		} else {
			fmt.Fprintln(os.Stderr, "crash: data kept in", data)
		}
	}()
	fmt.Printf("seed %d\n", *seed)
	rng := rand.New(rand.NewPCG(*seed, 0))
	ledger := crash.NewLedger()
	for round := range *rounds {
		s, err := bench.StartServer(ctx, *binary, data, "rs-5-4", 9)
		if err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		if err := crash.Round(ctx, s, ledger, *clients, rng); err != nil {
			return errors.Join(fmt.Errorf("round %d: %w", round, err), s.Kill())
		}
		if (round+1)%10 == 0 {
			fmt.Printf("%d kills, %d operations acknowledged, nothing lost so far\n", round+1, ledger.Acks())
		}
	}
	s, err := bench.StartServer(ctx, *binary, data, "rs-5-4", 9)
	if err != nil {
		return err
	}
	if err := errors.Join(crash.Verify(ctx, s.Addr, s.Token, ledger, *clients), s.Stop()); err != nil {
		return err
	}
	fmt.Printf("%d kills, %d operations acknowledged, %d keys: 0 lost, 0 torn, 0 back from the dead\n", *rounds, ledger.Acks(), len(ledger.Keys()))
	return nil
}
