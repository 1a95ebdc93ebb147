package cli

import (
	"bytes"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	"github.com/drystone-store/drystone/services/drystone/internal/progress"
)

func newCluster(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "cluster",
		Short: "Describe the cluster: nodes, disks, schemes",
		Args:  between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := g.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			cluster, err := c.Cluster(cmd.Context())
			if err != nil {
				return fmt.Errorf("describe the cluster: %w", err)
			}
			if g.json {
				return writeProto(g, cluster)
			}
			return writeln(g.Out, clusterTable(cluster))
		},
	}
}

func writeProto(g *globals, cluster *apiv1.GetClusterResponse) error {
	raw, err := protojson.Marshal(cluster)
	if err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return writeln(g.Out, string(raw))
}

func clusterTable(c *apiv1.GetClusterResponse) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "cluster  %s, front-door %s\n", c.GetClusterId(), c.GetVersion())
	fmt.Fprintf(&b, "scheme   %s", c.GetDefaultScheme())
	switch {
	case c.GetWriteScheme() == "":
		b.WriteString("; writes are refused: no scheme keeps the floor on the disks that are left")
	case c.GetWriteScheme() != c.GetDefaultScheme():
		fmt.Fprintf(&b, "; writes use %s while disks are missing", c.GetWriteScheme())
	}
	fmt.Fprintf(&b, "\nfloor    %s\n", c.GetFloor())
	v := c.GetVolumes()
	fmt.Fprintf(&b, "volumes  %d open, %d sealed, %d opening\n\n", v.GetOpen(), v.GetSealed(), v.GetOpening())

	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "ZONE\tRACK\tNODE\tSTATE\tDISK\tDISK STATE\tFREE\tOF\tCHUNKS")
	for _, z := range c.GetZones() {
		for _, n := range z.GetNodes() {
			place := fmt.Sprintf("%s\t%s\t%s\t%s", z.GetName(), n.GetRack(), n.GetName(), n.GetState())
			if len(n.GetDisks()) == 0 {
				_, _ = fmt.Fprintf(w, "%s\t-\t-\t-\t-\t-\n", place)
			}
			for _, d := range n.GetDisks() {
				_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\n", place, short(d.GetId()), diskState(d),
					progress.Bytes(d.GetFreeBytes()), progress.Bytes(d.GetCapacityBytes()), d.GetChunks())
			}
		}
	}
	_ = w.Flush() // Into memory.
	return strings.TrimRight(b.String(), "\n")
}

func diskState(d *apiv1.Disk) string {
	if d.GetDetail() == "" {
		return d.GetState()
	}
	return d.GetState() + ": " + d.GetDetail()
}

// short is enough of a disk's id to tell it from the others.
func short(id string) string {
	const enough = 8
	if len(id) <= enough {
		return id
	}
	return id[:enough]
}
