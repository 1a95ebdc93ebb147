package cli

import (
	"context"
	"fmt"
	"iter"
	"sync"

	"github.com/spf13/cobra"

	"github.com/drystone-store/drystone/services/drystone/internal/client"
)

func newRemove(g *globals) *cobra.Command {
	r := &remover{globals: g}
	cmd := &cobra.Command{
		Use:   "rm BUCKET/KEY...",
		Short: "Remove objects, or with -r everything below a prefix",
		Long: `Removes objects. One that is absent is gone, and that is no error.
With -r it removes everything below a prefix: rm -r box/2026 takes box/2026/cat.jpg and leaves box/2026.txt; rm -r box
empties the bucket and leaves it.`,
		Args: atLeast(1),
		RunE: func(cmd *cobra.Command, args []string) error { return r.run(cmd.Context(), args) },
	}
	cmd.Flags().BoolVarP(&r.recursive, "recursive", "r", false, "remove everything below the prefix")
	return cmd
}

// remover is one run of `rm`.
type remover struct {
	*globals
	recursive bool
	client    *client.Client
	outMu     sync.Mutex
}

func (r *remover) run(ctx context.Context, args []string) error {
	parse := parseObject
	if r.recursive {
		parse = parseTarget
	}
	targets := make([]target, len(args))
	for i, arg := range args {
		var err error
		if targets[i], err = parse(arg); err != nil {
			return err
		}
	}
	var err error
	if r.client, err = r.connect(); err != nil {
		return err
	}
	defer r.client.Close()
	return inParallel(ctx, r.objects(ctx, targets), r.remove)
}

func (r *remover) objects(ctx context.Context, targets []target) iter.Seq2[target, error] {
	return func(yield func(target, error) bool) {
		for _, t := range targets {
			if !r.recursive {
				if !yield(t, nil) {
					return
				}
				continue
			}
			found := false
			for e, err := range r.client.List(ctx, t.bucket, client.ListOptions{Prefix: t.folder()}) {
				if err != nil {
					err = fmt.Errorf("list %s: %w", t, err)
				}
				found = true
				if !yield(target{t.bucket, e.Object.GetKey()}, err) || err != nil {
					return
				}
			}
			if !found && !r.json {
				r.say("there is nothing below " + printable(t.bucket+"/"+t.folder()))
			}
		}
	}
}

func (r *remover) say(line string) {
	r.outMu.Lock()
	defer r.outMu.Unlock()
	_ = writeln(r.Out, line) // Nobody reads what is only a remark.
}

func (r *remover) remove(ctx context.Context, t target) error {
	existed := true
	if !r.recursive { // Only for what is said in the end. A bucket that is absent is the removal's error.
		_, err := r.client.Stat(ctx, t.bucket, t.key, "")
		existed = !client.IsAbsent(err)
	}
	if err := r.client.Delete(ctx, t.bucket, t.key); err != nil {
		return fmt.Errorf("remove %s: %w", t, err)
	}
	r.outMu.Lock()
	defer r.outMu.Unlock()
	if r.json {
		return writeJSON(r.Out, deletedLine{Bucket: t.bucket, Key: t.key, Deleted: existed})
	}
	if !existed {
		return writeln(r.Out, printable(t.String())+" was not there")
	}
	return writeln(r.Out, "removed "+printable(t.String()))
}
