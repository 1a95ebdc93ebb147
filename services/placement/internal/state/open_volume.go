package state

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/fault"
)

const (
	// counterBits is the part of a volume id that the counter has; the incarnation has the other 16.
	counterBits    = 48
	maxCounter     = 1<<counterBits - 1
	maxIncarnation = 1<<16 - 1
	// firstGeneration of a volume. Re-encoding counts on.
	firstGeneration = 1
)

// OpenVolume enters a volume as `opening` under a new id, in one transaction that fails if the term's lease has run
// out. v says everything but id, state, generation, time and revision, and is not changed.
// Errors: TERM_EXPIRED, UNAVAILABLE (the entry may have been made).
func (s *Store) OpenVolume(ctx context.Context, v *placementv1.Volume) (*placementv1.Volume, error) {
	// A term that another replica has just given is waited for, so that the decision below finds it.
	if _, err := s.liveTerm(ctx, v.GetWriter(), v.GetTerm()); err != nil {
		return nil, err
	}
	done, err := s.volumes.take(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	opened := proto.CloneOf(v)
	opened.State = placementv1.VolumeState_VOLUME_STATE_OPENING
	opened.Generation = firstGeneration
	opened.ChangedMs = clock.UnixMilli()
	opened.Revision, err = s.update(ctx, "open_volume", func(m *model) (change, error) {
		w, err := s.termIn(m, v.GetWriter(), v.GetTerm())
		if err != nil {
			return change{}, err
		}
		if opened.Id, err = m.nextVolume(); err != nil {
			return change{}, err
		}
		entry, err := formatVolume(opened)
		if err != nil {
			return change{}, fault.Bug("open volume: %w", err)
		}
		return change{
			compares: []clientv3.Cmp{
				unchanged(volumeKey, m.lastVolume.modRevision),
				unchanged(incarnationKey, m.incarnation.modRevision),
				clientv3.Compare(clientv3.CreateRevision(writerEntryKey(v.GetTerm())), "=", w.createRevision),
			},
			puts: []clientv3.Op{
				clientv3.OpPut(volumeKey, formatCount(m.lastVolume.value+1)),
				clientv3.OpPut(volumeEntryKey(opened.GetId()), entry),
			},
		}, nil
	})
	if err != nil {
		return nil, err
	}
	return opened, nil
}

// nextVolume is the id that the counter gives next.
func (m *model) nextVolume() (uint64, error) {
	if m.incarnation.value > maxIncarnation || m.lastVolume.value >= maxCounter {
		return 0, fault.Bug("volume ids are used up: incarnation %d, counter %d", m.incarnation.value, m.lastVolume.value)
	}
	return m.incarnation.value<<counterBits | (m.lastVolume.value + 1), nil
}
