package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	"github.com/drystone-store/drystone/services/drystone/internal/progress"
)

func newStat(g *globals) *cobra.Command {
	var version string
	cmd := &cobra.Command{
		Use:   "stat BUCKET[/KEY]",
		Short: "Describe an object or a bucket",
		Args:  between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := parseTarget(args[0])
			if err != nil {
				return err
			}
			c, err := g.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			if t.key == "" {
				b, err := c.Bucket(cmd.Context(), t.bucket)
				if err != nil {
					return fmt.Errorf("stat %s: %w", t.bucket, err)
				}
				return g.showBucket(b)
			}
			o, err := c.Stat(cmd.Context(), t.bucket, t.key, version)
			if err != nil {
				return fmt.Errorf("stat %s: %w", t, err)
			}
			return g.showObject(t.bucket, o)
		},
	}
	cmd.Flags().StringVar(&version, "version-id", "", "describe this version instead of the current one")
	return cmd
}

func (g *globals) showBucket(b *apiv1.Bucket) error {
	if g.json {
		return writeJSON(g.Out, bucketLineOf(b))
	}
	return writeln(g.Out, fmt.Sprintf("bucket         %s\nscheme         %s\ncreated        %s",
		b.GetName(), b.GetScheme(), forPeople(b.GetCreateTime())))
}

func (g *globals) showObject(bucket string, o *apiv1.Object) error {
	if g.json {
		return writeJSON(g.Out, lineOf(bucket, o))
	}
	var b strings.Builder
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-14s %s\n", name, value)
		}
	}
	row("key", printable(o.GetKey()))
	row("size", fmt.Sprintf("%d (%s)", o.GetSize(), progress.Bytes(o.GetSize())))
	row("modified", forPeople(o.GetLastModified()))
	row("content type", o.GetContentType())
	row("etag", o.GetEtag())
	row("version", o.GetVersionId())
	row("crc64-nvme", o.GetChecksumCrc64Nvme())
	for _, name := range slices.Sorted(maps.Keys(o.GetMetadata())) {
		row("meta", name+"="+printable(o.GetMetadata()[name]))
	}
	return writeln(g.Out, strings.TrimSuffix(b.String(), "\n"))
}
