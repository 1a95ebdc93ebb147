package placement_test

import (
	"fmt"
	"testing"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/placement"
)

func TestJudge(t *testing.T) {
	const misfit = typesv1.Reason_REASON_SCHEME_DOES_NOT_FIT
	for _, c := range []struct {
		name         string
		zones, nodes int
		wanted, best string
		reason       typesv1.Reason
	}{
		{"the best itself", 3, 9, "rs-5-4", "rs-5-4", 0},
		{"another that fits", 3, 9, "rs-4-2", "rs-5-4", 0},
		{"too wide", 3, 9, "rs-8-4", "rs-5-4", misfit},
		{"too wide for six", 3, 6, "rs-5-4", "rs-3-3", misfit},
		{"nothing fits", 1, 1, "rs-1-1", "", misfit},
	} {
		t.Run(c.name, func(t *testing.T) {
			var disks []*typesv1.Place
			for i := range c.nodes {
				disks = append(disks, &typesv1.Place{Zone: fmt.Sprint(i % c.zones), Rack: "r", Node: fmt.Sprint(i)})
			}
			wanted, err := erasure.Parse(c.wanted)
			if err != nil {
				t.Fatal(err)
			}
			best, err := placement.Judge(wanted, disks)
			if fault.Reason(err) != c.reason {
				t.Errorf("error %v, want %v", err, c.reason)
			}
			if best != (erasure.Scheme{}) && best.String() != c.best || best == (erasure.Scheme{}) && c.best != "" {
				t.Errorf("best %v, want %q", best, c.best)
			}
		})
	}
}
