package policy

import "github.com/drystone-store/drystone/services/datapath/erasure"

// Default is the scheme of buckets that ask for none: rs-5-4 where it survives a zone and a disk (three zones with
// three disks each are enough); else the cheapest, no wider than that, which survives a zone and a disk; else a zone;
// else, within one zone, rs-4-2, or the cheapest that survives a disk. Errors: SCHEME_DOES_NOT_FIT if there is none.
func Default(registered Pool) (erasure.Scheme, error) {
	ladder := []struct {
		promise   Promise
		preferred erasure.Scheme
	}{
		{promise: Promise{Zones: 1, Disks: 1}, preferred: erasure.Scheme{K: 5, M: 4}},
		{promise: Promise{Zones: 1}, preferred: erasure.Scheme{K: 4, M: 2}},
		{promise: Promise{Disks: 1}, preferred: erasure.Scheme{K: 4, M: 2}},
	}
	shapes, nodes := registered.shapes(ladder[0].preferred.N()), registered.Nodes()
	for _, rung := range ladder {
		if keeps(rung.preferred, rung.promise, shapes, nodes) {
			return rung.preferred, nil
		}
		if scheme, ok := cheapest(rung.promise, shapes, nodes); ok {
			return scheme, nil
		}
	}
	return erasure.Scheme{}, misfit(
		"no scheme survives the loss of a node here: two nodes are the least; %d with %d disks are registered",
		nodes, registered.Disks())
}
