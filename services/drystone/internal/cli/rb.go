package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newRemoveBucket(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "rb BUCKET",
		Short: "Remove an empty bucket",
		Long:  "Removes an empty bucket. One that is absent is gone. `drystone rm -r BUCKET` empties one.",
		Args:  between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := parseBucket(args[0])
			if err != nil {
				return err
			}
			c, err := g.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			if err := c.DeleteBucket(cmd.Context(), name); err != nil {
				return fmt.Errorf("remove bucket %s: %w", name, err)
			}
			if g.json {
				return writeJSON(g.Out, deletedLine{Bucket: name, Deleted: true})
			}
			return writeln(g.Out, "removed "+name)
		},
	}
}
