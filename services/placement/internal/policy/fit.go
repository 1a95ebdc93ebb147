package policy

import (
	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// Fits says whether a pool can carry a scheme at all: there is a disk for each column, and no node gets more columns
// than the scheme may lose. So there may be fewer nodes than columns, but the loss of any one of them loses no bytes.
// It asks for no zones: what a scheme survives is Survives' answer, and whether that is enough is the asker's choice.
// Errors: SCHEME_DOES_NOT_FIT, which says what is missing.
func Fits(scheme erasure.Scheme, p Pool) error {
	if p.Disks() < scheme.N() {
		return misfit("%s needs %d distinct disks; %d are registered", scheme, scheme.N(), p.Disks())
	}
	return fits(scheme, p.shapes(scheme.N())[scheme.N()], p.Nodes())
}

// fits judges a scheme by the shape that its columns would have.
func fits(scheme erasure.Scheme, s shape, nodes int) error {
	if s.widestNode > scheme.M {
		return misfit("%s may lose %d of its %d columns, but %d would lie on node %s; %d nodes are registered, add more",
			scheme, scheme.M, scheme.N(), s.widestNode, s.node, nodes)
	}
	return nil
}

// Outlives is what a scheme survives in a pool. Errors: as Fits.
func Outlives(scheme erasure.Scheme, p Pool) (Promise, error) {
	if err := Fits(scheme, p); err != nil {
		return Promise{}, err
	}
	return Survives(scheme, p.shapes(scheme.N())[scheme.N()].zones), nil
}

func misfit(format string, args ...any) error {
	return fault.New(codes.FailedPrecondition, typesv1.Reason_REASON_SCHEME_DOES_NOT_FIT, format, args...)
}
