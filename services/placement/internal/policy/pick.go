package policy

import (
	"math/rand/v2"

	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// seedMix is the second half of the generator's seed; any constant does, it only keeps small seeds apart.
const seedMix = 0x9e3779b97f4a7c15

// Policy is how Drystone places. VolumeBytes is the logical size that a volume should have.
type Policy struct{ VolumeBytes uint64 }

// Pick chooses a disk for each column of a scheme by the package's rules 1 to 5, in column order: k data, then m
// parity. One seed gives one answer. Errors: NOT_ENOUGH_DISKS when fewer than n disks are usable; whether the
// spread keeps a promise is for Scheme to say.
func (Policy) Pick(t *Topology, scheme erasure.Scheme, seed uint64) ([]Disk, error) {
	pool := t.Healthy()
	if pool.Disks() < scheme.N() {
		return nil, fault.New(codes.Unavailable, typesv1.Reason_REASON_NOT_ENOUGH_DISKS,
			"%s needs %d disks; %d of %d are usable", scheme, scheme.N(), pool.Disks(), len(t.disks))
	}
	random := rand.New(rand.NewPCG(seed, seedMix))
	chosen := pool.draw(scheme.N(), func(ties []int) int { return t.lighter(random, ties) })
	columns := inColumns(Pool{topology: t, disks: chosen}, scheme.K, random)
	disks := make([]Disk, len(columns))
	for c, i := range columns {
		disks[c] = t.disks[i]
	}
	return disks, nil
}

// draw takes n disks of a pool that has as many.
func (p Pool) draw(n int, choose func(ties []int) int) []int {
	s := newSpread(p)
	chosen := make([]int, 0, n)
	for range n {
		if i, ok := s.next(nil, choose); ok {
			chosen = append(chosen, i)
		}
	}
	return chosen
}

// lighter draws two of the disks by their free bytes and takes the one with fewer chunks for its size: the draw keeps
// disks equally full in the long run, the comparison keeps chance from crowding one of them now.
func (t *Topology) lighter(random *rand.Rand, ties []int) int {
	a, b := t.weighted(random, ties), t.weighted(random, ties)
	if t.disks[ties[b]].load() < t.disks[ties[a]].load() {
		return b
	}
	return a
}

// weighted draws one of the disks, each as likely as it has free bytes.
func (t *Topology) weighted(random *rand.Rand, ties []int) int {
	var total float64
	for _, i := range ties {
		total += t.disks[i].weight()
	}
	point := random.Float64() * total
	for at, i := range ties {
		point -= t.disks[i].weight()
		if point < 0 {
			return at
		}
	}
	return len(ties) - 1
}

// weight is never zero: a disk that is usable may be chosen when no other is left.
func (d Disk) weight() float64 { return float64(d.FreeBytes) + 1 }

// load is chunks for each byte of capacity.
func (d Disk) load() float64 { return float64(d.Chunks) / (float64(d.CapacityBytes) + 1) }

// inColumns orders chosen disks: which of them hold data is itself spread by rule 2 and otherwise left to chance, so
// that losing a zone costs reads as few data columns as it can, and no disk only ever holds parity.
func inColumns(chosen Pool, k int, random *rand.Rand) []int {
	data := chosen.draw(k, func(ties []int) int { return random.IntN(len(ties)) })
	holds := make(map[int]bool, k)
	for _, i := range data {
		holds[i] = true
	}
	columns := data
	for _, i := range chosen.disks {
		if !holds[i] {
			columns = append(columns, i)
		}
	}
	shuffle := func(part []int) {
		random.Shuffle(len(part), func(i, j int) { part[i], part[j] = part[j], part[i] })
	}
	shuffle(columns[:k])
	shuffle(columns[k:])
	return columns
}
