package state

import (
	"context"

	"github.com/tidwall/btree"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// ListVolumes hands the whole map, as it was at one moment after the call, to each in the order of ids, until each
// returns an error, which it returns. Errors: UNAVAILABLE.
func (s *Store) ListVolumes(ctx context.Context, each func(*placementv1.Volume) error) error {
	if err := s.Barrier(ctx); err != nil {
		return err
	}
	for iterator := s.mirror.volumes().Iter(); iterator.Next(); {
		v, err := iterator.Value().decode(iterator.Key())
		if err != nil {
			return fault.Bug("list the map: %w", err)
		}
		if err := each(v); err != nil {
			return err
		}
	}
	return nil
}

// volumes is the map at this moment. The tree copies on write, so this costs nothing and blocks nobody.
func (m *mirror) volumes() *btree.Map[uint64, volume] {
	m.mu.Lock() // copying marks the original
	defer m.mu.Unlock()
	return m.model.volumes.Copy()
}
