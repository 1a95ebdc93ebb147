package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/drystone-store/drystone/services/kit/app"
)

func newVersion(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  between(0, 0),
		RunE: func(*cobra.Command, []string) error {
			if g.json {
				return writeJSON(g.Out, map[string]string{
					"version": app.Version(), "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH,
				})
			}
			return writeln(g.Out, fmt.Sprintf("drystone %s (%s, %s/%s)", app.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH))
		},
	}
}
