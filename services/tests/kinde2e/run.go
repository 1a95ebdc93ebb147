package kinde2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// What must hold.
const (
	maxReady    = 3 * time.Minute
	maxWriteGap = 10 * time.Second
	maxBytes    = 1536 << 20
	maxCores    = 0.3
)

// reinstallName is the one drill that no load can go through.
const reinstallName = "uninstall, install again"

// Run does all of it and writes what it saw, as it happens. It returns an error when something did not hold.
func Run(ctx context.Context, o Options, out io.Writer) (err error) {
	c := &cluster{Options: o}
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format+"\n", args...) }
	if err := c.prepare(ctx); err != nil {
		return err
	}
	if !o.Keep {
		defer func() { err = errors.Join(err, c.remove(context.WithoutCancel(ctx))) }()
	}
	begin := time.Now()
	if err := c.install(ctx); err != nil {
		return err
	}
	ready := time.Since(begin)
	say("installed and ready after %v (at most %v)", ready.Round(time.Second), maxReady)
	if ready > maxReady {
		err = errors.Join(err, fmt.Errorf("ready after %v, want %v", ready, maxReady))
	}
	if testErr := c.helm(ctx, "test", release, "--timeout", "2m"); testErr != nil {
		return testErr
	}
	say("helm test passed")
	err = errors.Join(err, c.checkGRPC(ctx, say))
	err = errors.Join(err, c.checkFootprint(ctx, say))
	return errors.Join(err, c.underLoad(ctx, say))
}

func (c *cluster) install(ctx context.Context, values ...string) error {
	set := strings.Join(append(values, "image.tag="+c.Tag), ",")
	if err := c.helm(ctx, "install", release, c.Chart, "-f", c.Values, "--wait", "--timeout", "8m", "--set", set); err != nil {
		return fmt.Errorf("%w\n%s", err, c.describe(ctx))
	}
	return nil
}

func (c *cluster) checkFootprint(ctx context.Context, say func(string, ...any)) error {
	f, err := c.footprint(ctx)
	if err != nil {
		return err
	}
	say("idle: %d MiB, %.2f cores (at most %d MiB, %.1f cores)", f.Bytes>>20, f.Cores, maxBytes>>20, maxCores)
	for component, u := range f.Of {
		say("  %-12s %2d pods %5d MiB %.3f cores", component, u.Pods, u.Bytes>>20, u.Cores)
	}
	if f.Bytes > maxBytes || f.Cores > maxCores {
		return fmt.Errorf("idle mesh takes %d MiB and %.2f cores", f.Bytes>>20, f.Cores)
	}
	return nil
}

// underLoad runs the drills while the load goes on, then reads everything back.
func (c *cluster) underLoad(ctx context.Context, say func(string, ...any)) (err error) {
	token, err := c.token(ctx)
	if err != nil {
		return err
	}
	endpoint, err := c.endpoint(ctx)
	if err != nil {
		return err
	}
	client := newClient(endpoint, token)
	if status, body, err := client.do(ctx, "PUT", "/v1/buckets/"+bucket, nil); err != nil || status != 200 {
		return fmt.Errorf("make a bucket from outside, at %s: %d %s %w", endpoint, status, body, err)
	}
	l := newLoad(client)
	loading, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { l.run(loading) })
	defer running.Wait()
	defer stop()
	say("%-46s %6s %6s %7s %6s %7s %9s %9s %s", "drill, under load", "took", "reads", "retried", "writes", "refused", "write gap", "slow read", "violations")
	for _, d := range drills(c) {
		if !strings.Contains(d.name, c.Only) || ctx.Err() != nil {
			continue
		}
		begin := time.Now()
		drillErr := d.run(ctx, c)
		took := time.Since(begin)
		counts := l.take()
		say("%-46s %5.0fs %6d %7d %6d %7d %8.1fs %8.1fs %d", d.name, took.Seconds(), counts.Gets, counts.Retried, counts.Puts,
			counts.PutErrors, counts.WriteGap.Seconds(), counts.SlowestGet.Seconds(), len(counts.Violations))
		for _, v := range counts.Violations {
			say("  %s", v)
		}
		err = errors.Join(err, judge(d.name, drillErr, counts))
		if drillErr != nil {
			say("  %v\n%s", drillErr, c.describe(ctx))
		}
	}
	stop()
	running.Wait()
	if ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	if strings.Contains(reinstallName, c.Only) {
		begin := time.Now()
		if again := reinstall(ctx, c); again != nil {
			return errors.Join(err, fmt.Errorf("%s: %w", reinstallName, again))
		}
		say("%-46s %5.0fs", reinstallName, time.Since(begin).Seconds())
	}
	keys, wrong := l.verify(ctx)
	say("%d writes were acknowledged; %d keys read back at the end, %d of them wrong", l.ledger.Acks(), keys, len(wrong))
	for _, w := range wrong {
		err = errors.Join(err, errors.New(w))
	}
	return err
}

func judge(name string, err error, counts Counts) error {
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	if len(counts.Violations) > 0 {
		err = errors.Join(err, fmt.Errorf("%s: %d reads failed or were wrong", name, len(counts.Violations)))
	}
	if counts.WriteGap > maxWriteGap {
		err = errors.Join(err, fmt.Errorf("%s: no write for %v, want at most %v", name, counts.WriteGap, maxWriteGap))
	}
	return err
}

// describe is what one looks at first when something is wrong.
func (c *cluster) describe(ctx context.Context) string {
	pods, _ := c.kubectl(ctx, "get", "pods", "-o", "wide")
	events, _ := c.kubectl(ctx, "get", "events", "--sort-by=.lastTimestamp", "--field-selector=type!=Normal")
	return pods + tail(events)
}
