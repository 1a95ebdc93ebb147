package state

import (
	"context"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
)

// ConfirmVolume makes a volume open that was opened at a revision. Once it is open, any call that names that revision
// succeeds. Errors: NO_SUCH_VOLUME, VOLUME_CONFLICT, UNAVAILABLE.
func (s *Store) ConfirmVolume(ctx context.Context, id uint64, revision int64) (*placementv1.Volume, error) {
	return s.changeVolume(ctx, "confirm_volume", id, func(v *placementv1.Volume, created int64) (bool, error) {
		if created != revision {
			return false, conflict(id, "was opened at revision %d, not %d", created, revision)
		}
		switch v.GetState() {
		case placementv1.VolumeState_VOLUME_STATE_OPEN:
			return false, nil
		case placementv1.VolumeState_VOLUME_STATE_OPENING:
			v.State = placementv1.VolumeState_VOLUME_STATE_OPEN
			return true, nil
		default:
			return false, conflict(id, "has ended")
		}
	})
}
