package nodes

import (
	"context"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

const (
	// mapEntries bounds the cache: an entry with nine members takes about 1.5 KiB, so 24 MiB at most, which covers
	// 16 TiB of volumes of 1 GiB.
	mapEntries = 16 << 10

	// batchIDs is the most ids that GetVolumes takes.
	batchIDs = 1000

	// fetchTimeout bounds one request, failover to a second replica included.
	fetchTimeout = 5 * time.Second
)

// VolumeGetter reads the volume map; the generated placement client is one.
type VolumeGetter interface {
	GetVolumes(
		ctx context.Context, in *placementv1.GetVolumesRequest, opts ...grpc.CallOption,
	) (*placementv1.GetVolumesResponse, error)
}

// Map caches entries of the volume map. Members do not change within a generation, so an entry, also one of an open
// volume, stays valid until a chunk-server says otherwise and the reader calls Refresh. Misses that come together share
// one request. It is safe for concurrent use.
type Map struct {
	placement VolumeGetter
	cache     *lru.Cache[uint64, *placementv1.Volume]
	// cached and fresh ask a replica's memory and etcd.
	cached, fresh *gather
}

// NewMap makes an empty cache over placement.
func NewMap(placement VolumeGetter) (*Map, error) {
	cache, err := lru.New[uint64, *placementv1.Volume](mapEntries)
	if err != nil {
		return nil, fmt.Errorf("making the map's cache: %w", err)
	}
	m := &Map{placement: placement, cache: cache}
	m.cached = newGather(func(ctx context.Context, ids []uint64) ([]*placementv1.Volume, error) {
		return m.fetch(ctx, ids, false)
	})
	m.fresh = newGather(func(ctx context.Context, ids []uint64) ([]*placementv1.Volume, error) {
		return m.fetch(ctx, ids, true)
	})
	return m, nil
}

// Volume returns the entry of a volume, from the cache when it is there. The caller must not change it.
// Errors: NO_SUCH_VOLUME; those of placement when the entry is not cached; DEADLINE_EXCEEDED.
func (m *Map) Volume(ctx context.Context, id uint64) (*placementv1.Volume, error) {
	if v, ok := m.cache.Get(id); ok {
		return v, nil
	}
	v, err := m.cached.get(ctx, id)
	if err != nil || v != nil {
		return v, err
	}
	// A replica's own memory may be behind; only etcd can say that there is no such volume.
	return m.Refresh(ctx, id)
}

// Refresh reads the entry through to etcd and replaces the cached one. It is for readers whom a chunk-server told
// CHUNK_STALE or NO_SUCH_CHUNK. Errors: NO_SUCH_VOLUME, and the cached entry is dropped; those of placement.
func (m *Map) Refresh(ctx context.Context, id uint64) (*placementv1.Volume, error) {
	v, err := m.fresh.get(ctx, id)
	if err != nil {
		return nil, err
	}
	if v == nil {
		m.cache.Remove(id)
		return nil, fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_VOLUME, "volume %#x is not in the map", id)
	}
	return v, nil
}

// Learn takes in an entry that came another way, for example to the writer that opened the volume, unless a newer one
// is cached.
func (m *Map) Learn(v *placementv1.Volume) {
	if old, ok := m.cache.Peek(v.GetId()); ok && old.GetRevision() > v.GetRevision() {
		return
	}
	m.keep(v)
}

// keep caches what can be read from: bytes are named in open and sealed volumes only.
func (m *Map) keep(v *placementv1.Volume) {
	switch v.GetState() {
	case placementv1.VolumeState_VOLUME_STATE_OPEN, placementv1.VolumeState_VOLUME_STATE_SEALED:
		m.cache.Add(v.GetId(), v)
	default:
	}
}

// Close waits for requests on their way; each is bounded by its deadline. No call may follow.
func (m *Map) Close() {
	m.cached.wait()
	m.fresh.wait()
}

func (m *Map) fetch(ctx context.Context, ids []uint64, fresh bool) ([]*placementv1.Volume, error) {
	answer, err := m.placement.GetVolumes(ctx, &placementv1.GetVolumesRequest{Ids: ids, Fresh: fresh})
	if err != nil {
		return nil, fmt.Errorf("reading %d map entries: %w", len(ids), err)
	}
	for _, v := range answer.GetVolumes() {
		if fresh {
			m.keep(v) // the truth, whatever is cached
		} else {
			m.Learn(v)
		}
	}
	return answer.GetVolumes(), nil
}
