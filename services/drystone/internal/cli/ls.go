package cli

import (
	"bufio"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/drystone-store/drystone/services/drystone/internal/client"
	"github.com/drystone-store/drystone/services/drystone/internal/progress"
)

func newList(g *globals) *cobra.Command {
	var recursive bool
	cmd := &cobra.Command{
		Use:   "ls [BUCKET[/PREFIX]]",
		Short: "List buckets, or objects",
		Long: `Without arguments it lists your buckets. With a bucket it lists what lies at its top: objects, and the "folders" that
the keys' slashes make. A prefix narrows that; end it in a slash to look into a folder.`,
		Args: between(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := g.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			out := bufio.NewWriter(g.Out)
			l := lister{client: c, json: g.json, recursive: recursive, out: out}
			if len(args) == 0 {
				err = l.buckets(cmd.Context())
			} else {
				err = l.objects(cmd.Context(), args[0])
			}
			// What was listed before an error is shown all the same.
			if flushErr := out.Flush(); err == nil && flushErr != nil {
				err = fmt.Errorf("write to standard output: %w", flushErr)
			}
			return err
		},
	}
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, "list every object below, too")
	return cmd
}

type lister struct {
	client          *client.Client
	json, recursive bool
	out             *bufio.Writer
}

func (l lister) buckets(ctx context.Context) error {
	for b, err := range l.client.Buckets(ctx) {
		if err != nil {
			return fmt.Errorf("list buckets: %w", err)
		}
		if l.json {
			err = writeJSON(l.out, bucketLineOf(b))
		} else {
			err = writeln(l.out, fmt.Sprintf("%s  %8s  %s", forPeople(b.GetCreateTime()), b.GetScheme(), b.GetName()))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (l lister) objects(ctx context.Context, arg string) error {
	t, err := parseTarget(arg)
	if err != nil {
		return err
	}
	o := client.ListOptions{Prefix: t.key, Delimiter: "/", Metadata: l.json}
	if l.recursive {
		o.Delimiter = ""
	}
	for e, err := range l.client.List(ctx, t.bucket, o) {
		if err != nil {
			return fmt.Errorf("list %s: %w", arg, err)
		}
		if err := l.entry(t.bucket, e); err != nil {
			return err
		}
	}
	return nil
}

func (l lister) entry(bucket string, e client.Entry) error {
	switch {
	case l.json && e.Object == nil:
		return writeJSON(l.out, prefixLine{Prefix: e.Prefix})
	case l.json:
		return writeJSON(l.out, lineOf(bucket, e.Object))
	case e.Object == nil:
		return writeln(l.out, fmt.Sprintf("%19s  %10s  %s", "", "", printable(e.Prefix)))
	}
	return writeln(l.out, fmt.Sprintf("%s  %10s  %s", forPeople(e.Object.GetLastModified()),
		progress.Bytes(e.Object.GetSize()), printable(e.Object.GetKey())))
}
