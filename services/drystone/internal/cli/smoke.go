package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/drystone-store/drystone/services/drystone/internal/progress"
	"github.com/drystone-store/drystone/services/drystone/internal/smoke"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/config"
)

const (
	// smokeSize is more than a stripe of every usual scheme, so that a large object has whole stripes and a tail.
	smokeSize = 12 << 20
	// maxSmokeObjects keeps a slip of the finger from filling a store.
	maxSmokeObjects = 10_000
	smokeTimeout    = 2 * time.Minute
)

func newSmoke(g *globals) *cobra.Command {
	o := smoke.Options{Objects: 2}
	var size string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "smoke",
		Short: "Try the store: make a bucket, put, get, list, delete, compare",
		Long: `Makes a bucket with a name of its own, stores objects of random bytes, small and large ones by turns, reads them whole and
in part, compares every byte, lists and removes them, and removes the bucket. Each step is printed with the time it took.
A bucket named by --bucket stays if it was there; only what smoke has stored in it is removed, also after a failure.`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			parsed, err := config.ParseSize(size)
			switch {
			case err != nil:
				return usagef("--size: %w", err)
			case o.Objects < 1 || o.Objects > maxSmokeObjects:
				return usagef("--objects %d: from 1 to %d", o.Objects, maxSmokeObjects)
			case timeout <= 0:
				return usagef("--timeout %s: it is positive", timeout)
			}
			o.Size = int64(parsed)
			if o.Bucket != "" {
				if o.Bucket, err = parseBucket(o.Bucket); err != nil {
					return err
				}
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			return g.smoke(ctx, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Bucket, "bucket", "", "`bucket` to try (default: one of its own)")
	f.StringVar(&size, "size", config.Size(smokeSize).String(), "`size` of the large objects")
	f.IntVar(&o.Objects, "objects", o.Objects, "how many objects to store, every second one a large one")
	f.DurationVar(&timeout, "timeout", smokeTimeout, "how long all of it may take")
	return cmd
}

func (g *globals) smoke(ctx context.Context, o smoke.Options) error {
	c, err := g.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	begun, steps := clock.Now(), 0
	err = smoke.Run(ctx, c, o, func(s smoke.Step) error {
		steps++
		return g.printStep(s)
	})
	if err != nil || g.json {
		return err
	}
	return writeln(g.Out, fmt.Sprintf("all is well: %d steps in %s", steps, shortly(clock.Since(begun))))
}

// stepLine is a step in --json output.
type stepLine struct {
	Step   string  `json:"step"`
	Target string  `json:"target"`
	Bytes  int64   `json:"bytes,omitempty"`
	Millis float64 `json:"millis"`
	Error  string  `json:"error,omitempty"`
}

func (g *globals) printStep(s smoke.Step) error {
	if g.json {
		line := stepLine{Step: s.Name, Target: s.Target, Bytes: s.Bytes, Millis: float64(s.Took.Microseconds()) / 1000}
		if s.Err != nil {
			line.Error = s.Err.Error()
		}
		return writeJSON(g.Out, line)
	}
	word, size := "ok    ", ""
	if s.Err != nil {
		word = "FAILED"
	}
	if s.Bytes > 0 {
		size = " (" + progress.Bytes(s.Bytes) + ")"
	}
	return writeln(g.Out, fmt.Sprintf("%s %8s  %s %s%s", word, shortly(s.Took), s.Name, s.Target, size))
}

// shortly writes a duration with three digits or so.
func shortly(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}
