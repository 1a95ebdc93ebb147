package policy

import "github.com/drystone-store/drystone/services/datapath/erasure"

const (
	blockBytes = 1 << 20

	// diskShare keeps a chunk at most 1/64 of its disk, so that no disk fills in large steps and a disk's loss is
	// repaired by many others at once.
	diskShare = 64
	// minColumnBytes is the least a chunk may grow to, whatever its disk: chunk-servers allocate 16 MiB ahead.
	minColumnBytes = 16 * blockBytes
)

// Capacity is how many logical bytes a volume on these disks may hold: the wanted size, or less so that no chunk
// takes more than its share of the smallest disk; whole stripes, and at least 16 of them.
func (p Policy) Capacity(scheme erasure.Scheme, disks []Disk) uint64 {
	k := uint64(scheme.K)
	column := p.VolumeBytes / k
	for _, d := range disks {
		column = min(column, d.CapacityBytes/diskShare)
	}
	column = max(column, minColumnBytes)
	return k * (column - column%blockBytes)
}
