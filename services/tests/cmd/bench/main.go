// Command bench measures a fresh all-in-one store over REST and prints a Markdown table. `make bench` runs it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/drystone-store/drystone/services/tests/bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	binary := flags.String("binary", "bin/drystone", "the drystone binary to measure")
	sizes := flags.String("sizes", "4KiB,64KiB,1MiB,64MiB", "object sizes")
	clients := flags.String("clients", "1,16,64", "numbers of clients")
	duration := flags.Duration("duration", 3*time.Second, "length of each cell")
	scheme := flags.String("scheme", "rs-4-2", "scheme of the store")
	nodes := flags.Int("nodes", 6, "chunk-servers of the store, in three zones")
	maxBytes := flags.Int64("max-bytes", 4<<30, "object bytes that a PUT cell writes at most")
	listKeys := flags.Int64("list-keys", 100_000, "keys of the bucket that LIST scans; 0: no LIST")
	burst := flags.Int("burst", 1000, "concurrent 4 KiB PUTs of the burst; 0: no burst")
	asJSON := flags.Bool("json", false, "print one JSON object a line instead of a table")
	keep := flags.String("data", "", "folder for the store's data (default: a temporary one, removed at the end)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	plan := bench.Plan{Duration: *duration, MaxBytes: *maxBytes, ListKeys: *listKeys}
	if plan.Sizes, err = parseList(*sizes, parseSize); err != nil {
		return err
	}
	if plan.Clients, err = parseList(*clients, strconv.Atoi); err != nil {
		return err
	}
	data := *keep
	if data == "" {
		if data, err = os.MkdirTemp("", "drystone-bench-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(data)) }()
	}
	report := func(r bench.Result) { bench.Row(os.Stdout, r) }
	if *asJSON {
		enc := json.NewEncoder(os.Stdout)
		report = func(r bench.Result) { _ = enc.Encode(r) }
	} else {
		fmt.Printf("%s over %d nodes, all in one process, client on the same machine; %v\n\n", *scheme, *nodes, bench.MeasureMachine())
		bench.TableHead(os.Stdout)
	}
	// Each size gets a store of its own: nothing gives space back yet, and one size must not warm up another.
	for _, size := range plan.Sizes {
		err := withServer(ctx, *binary, filepath.Join(data, strconv.FormatInt(size, 10)), *scheme, *nodes, func(s *bench.Server) error {
			for _, n := range plan.Clients {
				if err := bench.RunSize(ctx, s.Target, plan, size, n, report); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if plan.ListKeys == 0 && *burst == 0 {
		return nil
	}
	return withServer(ctx, *binary, filepath.Join(data, "list"), *scheme, *nodes, func(s *bench.Server) error {
		if plan.ListKeys > 0 {
			if err := bench.RunList(ctx, s.Target, plan, report); err != nil {
				return err
			}
		}
		if *burst > 0 {
			b, err := bench.RunBurst(ctx, s, *burst)
			if err != nil {
				return err
			}
			fmt.Printf("\n%v\n", b)
		}
		return nil
	})
}

// withServer starts a store on data, calls f, stops the store and removes its data.
func withServer(ctx context.Context, binary, data, scheme string, nodes int, f func(*bench.Server) error) error {
	s, err := bench.StartServer(ctx, binary, data, scheme, nodes)
	if err != nil {
		return err
	}
	err = f(s)
	return errors.Join(err, s.Stop(), os.RemoveAll(data))
}

func parseList[T any](list string, parse func(string) (T, error)) ([]T, error) {
	var all []T
	for text := range strings.SplitSeq(list, ",") {
		v, err := parse(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		all = append(all, v)
	}
	return all, nil
}

func parseSize(text string) (int64, error) {
	for _, unit := range []struct {
		suffix string
		bytes  int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {"", 1}} {
		if number, ok := strings.CutSuffix(text, unit.suffix); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
			return n * unit.bytes, err
		}
	}
	return 0, fmt.Errorf("%q is no size", text)
}
