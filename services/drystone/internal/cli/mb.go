package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newMakeBucket(g *globals) *cobra.Command {
	var scheme string
	cmd := &cobra.Command{
		Use:   "mb BUCKET",
		Short: "Make a bucket",
		Long:  "Makes a bucket. One that is there already, and yours, is fine, unless --scheme asks for another scheme than it has.",
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
			// Only for what is said in the end: making it decides.
			_, absent := c.Bucket(cmd.Context(), name)
			b, err := c.CreateBucket(cmd.Context(), name, scheme)
			if err != nil {
				return fmt.Errorf("make bucket %s: %w", name, err)
			}
			if g.json {
				line := bucketLineOf(b)
				line.Existed = absent == nil
				return writeJSON(g.Out, line)
			}
			if absent == nil {
				return writeln(g.Out, fmt.Sprintf("%s exists already (%s)", b.GetName(), b.GetScheme()))
			}
			return writeln(g.Out, fmt.Sprintf("made %s (%s)", b.GetName(), b.GetScheme()))
		},
	}
	cmd.Flags().StringVar(&scheme, "scheme", "", "erasure code of what is written into it, rs-K-M (default: the cluster's)")
	return cmd
}
