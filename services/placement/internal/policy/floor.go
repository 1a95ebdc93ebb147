package policy

import (
	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// Floor is the least that a write under a scheme is promised: one zone and one disk, or as much of it as the scheme
// gives on the registered disks. It never looks at health, so an outage does not lower it.
// Errors: SCHEME_DOES_NOT_FIT.
func Floor(wanted erasure.Scheme, registered Pool) (Promise, error) {
	if err := Fits(wanted, registered); err != nil {
		return Promise{}, err
	}
	shape := registered.shapes(wanted.N())[wanted.N()]
	for _, floor := range floors() {
		if floor.keptBy(wanted, shape) {
			return floor, nil
		}
	}
	return Promise{}, fault.Bug("%s keeps no floor", wanted)
}

// Fallback is the scheme to write with: the wanted one if the healthy disks carry it and it keeps the floor there,
// else the cheapest, by (k+m)/k, that does. Of equally cheap ones the largest m wins.
// A scheme with more columns than were wanted is taken only when none with fewer keeps the floor: each column is one
// more disk that every append waits for. Errors: NOT_ENOUGH_DISKS.
func Fallback(wanted erasure.Scheme, floor Promise, healthy Pool) (erasure.Scheme, error) {
	shapes := healthy.shapes(erasure.MaxK + erasure.MaxM)
	nodes := healthy.Nodes()
	if keeps(wanted, floor, shapes, nodes) {
		return wanted, nil
	}
	if scheme, ok := cheapest(floor, shapes[:min(wanted.N()+1, len(shapes))], nodes); ok {
		return scheme, nil
	}
	if scheme, ok := cheapest(floor, shapes, nodes); ok {
		return scheme, nil
	}
	return erasure.Scheme{}, fault.New(codes.Unavailable, typesv1.Reason_REASON_NOT_ENOUGH_DISKS,
		"no scheme survives %s on the disks that are left: %d healthy on %d nodes in %d zones",
		floor, healthy.Disks(), nodes, healthy.Zones())
}

// ForWrite is the scheme that a volume opened now gets, and the floor that it keeps.
// Errors: SCHEME_DOES_NOT_FIT for the registered disks, NOT_ENOUGH_DISKS for the healthy ones.
func (Policy) ForWrite(t *Topology, wanted erasure.Scheme) (erasure.Scheme, Promise, error) {
	floor, err := Floor(wanted, t.Registered())
	if err != nil {
		return erasure.Scheme{}, Promise{}, err
	}
	scheme, err := Fallback(wanted, floor, t.Healthy())
	return scheme, floor, err
}

// keeps says whether a pool of these shapes carries a scheme and the promise with it.
func keeps(scheme erasure.Scheme, promise Promise, shapes []shape, nodes int) bool {
	if scheme.N() >= len(shapes) {
		return false
	}
	s := shapes[scheme.N()]
	return fits(scheme, s, nodes) == nil && promise.keptBy(scheme, s)
}

// cheapest searches all schemes of a pool with these shapes.
func cheapest(promise Promise, shapes []shape, nodes int) (erasure.Scheme, bool) {
	var best erasure.Scheme
	for m := 1; m <= erasure.MaxM; m++ {
		for k := 1; k <= erasure.MaxK && k+m < len(shapes); k++ {
			scheme := erasure.Scheme{K: k, M: m}
			if keeps(scheme, promise, shapes, nodes) && (best == erasure.Scheme{} || cheaper(scheme, best)) {
				best = scheme
			}
		}
	}
	return best, best != erasure.Scheme{}
}

// cheaper compares (k+m)/k, and at equal cost takes the larger m, which then also has the larger k.
func cheaper(a, b erasure.Scheme) bool {
	costA, costB := a.N()*b.K, b.N()*a.K
	return costA < costB || costA == costB && a.M > b.M
}
