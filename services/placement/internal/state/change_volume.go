package state

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// changeVolume changes an entry by compare-and-set and returns it as it is then. decide changes the message that it
// gets and says whether to write it; created is the revision at which the volume was opened.
func (s *Store) changeVolume(
	ctx context.Context, operation string, id uint64, decide func(v *placementv1.Volume, created int64) (bool, error),
) (*placementv1.Volume, error) {
	// An entry that memory does not have yet is waited for, so that the decision below finds it.
	if _, err := s.Volume(ctx, id); err != nil {
		return nil, err
	}
	var v *placementv1.Volume
	revision, err := s.update(ctx, operation, func(m *model) (change, error) {
		entry, ok := m.volumes.Get(id)
		if !ok {
			return change{}, noSuchVolume(id)
		}
		var err error
		if v, err = entry.decode(id); err != nil {
			return change{}, fault.Bug("%s: %w", operation, err)
		}
		write, err := decide(v, entry.createRevision)
		if err != nil || !write {
			return change{}, err
		}
		v.ChangedMs = clock.UnixMilli()
		encoded, err := formatVolume(v)
		if err != nil {
			return change{}, fault.Bug("%s: %w", operation, err)
		}
		return change{
			compares: []clientv3.Cmp{unchanged(volumeEntryKey(id), entry.modRevision)},
			puts:     []clientv3.Op{clientv3.OpPut(volumeEntryKey(id), encoded)},
		}, nil
	})
	if err != nil {
		return nil, err
	}
	if revision != 0 {
		v.Revision = revision
	}
	return v, nil
}
