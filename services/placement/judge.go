package placement

import (
	"strconv"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/placement/internal/policy"
)

// Judge says before a cluster is started whether disks at these places, one entry a disk, will carry a scheme, and
// which scheme is the best there. Errors: SCHEME_DOES_NOT_FIT, with best set all the same unless nothing fits at all.
func Judge(wanted erasure.Scheme, disks []*typesv1.Place) (best erasure.Scheme, err error) {
	all := make([]policy.Disk, len(disks))
	for i, d := range disks {
		all[i] = policy.Disk{ID: strconv.Itoa(i), Zone: d.GetZone(), Rack: d.GetRack(), Node: d.GetNode()}
	}
	registered := policy.NewTopology(all).Registered()
	if best, err = policy.Default(registered); err != nil {
		return erasure.Scheme{}, err
	}
	return best, policy.Fits(wanted, registered)
}
