package server

import (
	"context"
	"math/rand/v2"

	"google.golang.org/grpc/codes"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/placement/internal/policy"
)

// firstAttempt is the attempt of all members of a new volume. Repairs count on from the highest.
const firstAttempt = 1

// OpenVolume picks disks for a new volume and enters it into the map.
func (p *Placement) OpenVolume(
	ctx context.Context, req *placementv1.OpenVolumeRequest,
) (*placementv1.OpenVolumeResponse, error) {
	wanted, err := checkOpenVolume(req)
	if err != nil {
		return nil, err
	}
	if err := p.state.Ready(); err != nil {
		return nil, err
	}
	scheme, disks, err := p.choose(wanted, req.GetExcludeDisks())
	if err != nil {
		return nil, err
	}
	volume := &placementv1.Volume{
		VolumeClass: req.GetVolumeClass(), Scheme: scheme.Proto(), Wanted: wanted.Proto(),
		Writer: req.GetWriter(), Term: req.GetTerm(), Capacity: p.policy.Capacity(scheme, disks),
	}
	for _, d := range disks {
		volume.Members = append(volume.Members, &placementv1.Member{Disk: d.ID, Node: d.Node, Attempt: firstAttempt})
	}
	opened, err := p.state.OpenVolume(ctx, volume)
	if err != nil {
		return nil, err
	}
	p.metrics.opened(wanted, scheme)
	return &placementv1.OpenVolumeResponse{Volume: opened}, nil
}

func checkOpenVolume(req *placementv1.OpenVolumeRequest) (erasure.Scheme, error) {
	wanted, err := erasure.FromProto(req.GetScheme())
	if err != nil {
		return erasure.Scheme{}, err
	}
	if err := checkWriter(req.GetWriter()); err != nil {
		return erasure.Scheme{}, err
	}
	switch req.GetVolumeClass() {
	case typesv1.VolumeClass_VOLUME_CLASS_PACKED, typesv1.VolumeClass_VOLUME_CLASS_STREAM,
		typesv1.VolumeClass_VOLUME_CLASS_SYSTEM:
	default:
		return erasure.Scheme{}, invalid("volume_class: %v is none", req.GetVolumeClass())
	}
	if len(req.GetExcludeDisks()) > maxIDs {
		return erasure.Scheme{}, invalid("exclude_disks: at most %d", maxIDs)
	}
	return wanted, nil
}

// choose is the scheme and the disks of a new volume: what was wanted, or the best that the healthy disks give.
func (p *Placement) choose(wanted erasure.Scheme, exclude []string) (erasure.Scheme, []policy.Disk, error) {
	all, settled := p.topology.Snapshot()
	usable := all.Without(exclude...)
	scheme, floor, err := p.policy.ForWrite(usable, wanted)
	if err != nil {
		forgiven := p.topology.Forgiving().Without(exclude...)
		if s, f, better := p.policy.ForWrite(forgiven, wanted); better == nil {
			usable, scheme, floor, err = forgiven, s, f, nil
		}
	}
	if !settled && (err != nil || scheme != wanted) {
		// Whoever was not heard of yet may be well. To fall back now would pay for an outage that there is not.
		return scheme, nil, fault.New(codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE,
			"this replica has just started and has not heard of every node yet").WithRetryAfter(retryAfter)
	}
	if err != nil {
		p.metrics.refusedOpen()
		return scheme, nil, fault.New(codes.Unavailable, typesv1.Reason_REASON_NOT_ENOUGH_DISKS,
			"open a volume with %s: %s", wanted, fault.From(err).Message()).WithRetryAfter(retryAfter)
	}
	disks, err := p.policy.Pick(usable, scheme, rand.Uint64())
	if err != nil {
		return scheme, nil, fault.Bug("%s keeps %s but cannot be placed: %w", scheme, floor, err)
	}
	placed := policy.Volume{Scheme: scheme, Disks: make([]string, len(disks))}
	for i, d := range disks {
		placed.Disks[i] = d.ID
	}
	if found := p.policy.Check(usable, placed); len(found) > 0 {
		return scheme, nil, fault.Bug("%s is misplaced by its own policy: %+v", scheme, found)
	}
	return scheme, disks, nil
}
