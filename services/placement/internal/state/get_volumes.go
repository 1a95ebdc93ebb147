package state

import (
	"context"
	"errors"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// Volume reads one entry from memory, behind the barrier if memory does not have it.
// Errors: NO_SUCH_VOLUME, UNAVAILABLE.
func (s *Store) Volume(ctx context.Context, id uint64) (*placementv1.Volume, error) {
	found, err := s.Volumes(ctx, []uint64{id}, false)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, noSuchVolume(id)
	}
	return found[0], nil
}

// Volumes reads entries from memory; absent ids are left out. Fresh reads stand behind the barrier, and so do reads of
// an id that memory does not have: another replica may have just opened it. Errors: UNAVAILABLE.
func (s *Store) Volumes(ctx context.Context, ids []uint64, fresh bool) ([]*placementv1.Volume, error) {
	if err := s.Ready(); err != nil {
		return nil, err
	}
	if !fresh {
		found, err := s.volumesNow(ids)
		if err != nil || len(found) == len(ids) {
			return found, err
		}
	}
	if err := s.Barrier(ctx); err != nil {
		return nil, err
	}
	return s.volumesNow(ids)
}

func (s *Store) volumesNow(ids []uint64) ([]*placementv1.Volume, error) {
	found := make([]*placementv1.Volume, 0, len(ids))
	var bad error
	s.mirror.read(func(m *model) {
		for _, id := range ids {
			entry, ok := m.volumes.Get(id)
			if !ok {
				continue
			}
			v, err := entry.decode(id)
			bad = errors.Join(bad, err)
			found = append(found, v)
		}
	})
	if bad != nil {
		return nil, fault.Bug("read the map: %w", bad)
	}
	return found, nil
}
