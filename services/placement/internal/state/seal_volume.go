package state

import (
	"context"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
)

// SealVolume ends a volume at a length (rows of each column, in bytes). Of all callers the first decides; the entry
// that is returned has the decision. A volume that is still opening can be sealed too: its writer may not know whether
// its confirmation arrived. Errors: NO_SUCH_VOLUME, VOLUME_CONFLICT (another generation), UNAVAILABLE.
func (s *Store) SealVolume(ctx context.Context, id uint64, generation uint32, length uint64) (*placementv1.Volume, error) {
	return s.changeVolume(ctx, "seal_volume", id, func(v *placementv1.Volume, _ int64) (bool, error) {
		if v.GetState() == placementv1.VolumeState_VOLUME_STATE_SEALED {
			return false, nil
		}
		if v.GetGeneration() != generation {
			return false, conflict(id, "has generation %d, not %d", v.GetGeneration(), generation)
		}
		v.State = placementv1.VolumeState_VOLUME_STATE_SEALED
		v.Length = length
		return true, nil
	})
}
