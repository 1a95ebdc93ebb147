package memcluster

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// Placement is a placement of one replica. Its exported fields may be set before use, through Do afterwards.
type Placement struct {
	placementv1.UnimplementedPlacementServiceServer

	// TermLength and Lease of terms.
	TermLength, Lease time.Duration
	// Default is the cluster's default scheme.
	Default *typesv1.Scheme
	// Down: nothing is answered but UNAVAILABLE.
	Down bool
	// OpenError is what OpenVolume answers; nil: a volume.
	OpenError error
	// Opens and FreshReads count calls; Batches has the size of each GetVolumes.
	Opens, FreshReads int
	Batches           []int
	// Delay is how long GetVolumes takes.
	Delay time.Duration

	mu       sync.Mutex
	capacity uint64
	term     uint64
	leases   map[uint64]time.Time
	volume   uint64
	revision int64
	volumes  map[uint64]*placementv1.Volume
	nodes    []*placementv1.Node
	reports  []*placementv1.DiskReport
	version  uint64
	changed  chan struct{}
}

func newPlacement(capacity uint64) *Placement {
	return &Placement{
		TermLength: 10 * time.Minute, Lease: 30 * time.Second, Default: &typesv1.Scheme{K: 5, M: 4},
		capacity: capacity, volume: 1 << 48, leases: make(map[uint64]time.Time),
		volumes: make(map[uint64]*placementv1.Volume), version: 1, changed: make(chan struct{}),
	}
}

func (p *Placement) register(n *Node) {
	p.nodes = append(p.nodes, &placementv1.Node{
		Place:   &typesv1.Place{Zone: n.Zone, Rack: n.Zone, Node: n.Name},
		Address: "inproc:" + n.Name,
		State:   placementv1.NodeState_NODE_STATE_UP,
		Disks:   []*placementv1.Disk{{Id: n.Disk, State: placementv1.DiskState_DISK_STATE_OK}},
	})
}

// Do changes the placement under its lock and publishes the topology.
func (p *Placement) Do(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.publish()
}

func (p *Placement) publish() {
	p.version++
	close(p.changed)
	p.changed = make(chan struct{})
}

// SetState is what placement believes of a node from now on.
func (p *Placement) SetState(node string, state placementv1.NodeState) {
	p.Do(func() {
		for _, n := range p.nodes {
			if n.GetPlace().GetNode() == node {
				n.State = state
			}
		}
	})
}

// Volumes are all map entries, by id.
func (p *Placement) Volumes() []*placementv1.Volume {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]*placementv1.Volume, 0, len(p.volumes))
	for _, id := range slices.Sorted(maps.Keys(p.volumes)) {
		all = append(all, proto.CloneOf(p.volumes[id]))
	}
	return all
}

// Volume is one map entry, nil if there is none.
func (p *Placement) Volume(id uint64) *placementv1.Volume {
	p.mu.Lock()
	defer p.mu.Unlock()
	if v := p.volumes[id]; v != nil {
		return proto.CloneOf(v)
	}
	return nil
}

// Put replaces a map entry.
func (p *Placement) Put(v *placementv1.Volume) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.store(proto.CloneOf(v))
}

// Reported lists the disks that writers reported.
func (p *Placement) Reported() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var disks []string
	for _, r := range p.reports {
		if !slices.Contains(disks, r.GetDisk()) {
			disks = append(disks, r.GetDisk())
		}
	}
	return disks
}

func (p *Placement) store(v *placementv1.Volume) {
	p.revision++
	v.Revision = p.revision
	p.volumes[v.GetId()] = v
}

// enter takes the lock unless the placement is down.
func (p *Placement) enter() error {
	p.mu.Lock()
	if p.Down {
		p.mu.Unlock()
		return fault.New(codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE, "placement is down")
	}
	return nil
}

// StartTerm begins a term.
func (p *Placement) StartTerm(context.Context, *placementv1.StartTermRequest) (*placementv1.StartTermResponse, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.mu.Unlock()
	p.term++
	p.leases[p.term] = clock.Now().Add(p.Lease)
	return &placementv1.StartTermResponse{
		Term: p.term, LengthMs: p.TermLength.Milliseconds(), LeaseMs: p.Lease.Milliseconds(),
	}, nil
}

// RenewTerm keeps a lease that has not ended.
func (p *Placement) RenewTerm(_ context.Context, r *placementv1.RenewTermRequest) (*placementv1.RenewTermResponse, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.mu.Unlock()
	if !p.leased(r.GetTerm()) {
		return nil, fault.New(codes.FailedPrecondition, typesv1.Reason_REASON_TERM_EXPIRED, "term %d is over", r.GetTerm())
	}
	p.leases[r.GetTerm()] = clock.Now().Add(p.Lease)
	return &placementv1.RenewTermResponse{LeaseMs: p.Lease.Milliseconds()}, nil
}

// Expire ends all terms at once.
func (p *Placement) Expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.leases)
}

func (p *Placement) leased(term uint64) bool { return clock.Now().Before(p.leases[term]) }

// OpenVolume picks healthy disks that the caller does not exclude, and a scheme that keeps a zone and a disk.
func (p *Placement) OpenVolume(_ context.Context, r *placementv1.OpenVolumeRequest) (*placementv1.OpenVolumeResponse, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.mu.Unlock()
	if !p.leased(r.GetTerm()) {
		return nil, fault.New(codes.FailedPrecondition, typesv1.Reason_REASON_TERM_EXPIRED, "term %d is over", r.GetTerm())
	}
	if p.OpenError != nil {
		return nil, p.OpenError
	}
	p.Opens++
	scheme, members := pick(p.nodes, r.GetScheme(), r.GetExcludeDisks())
	if scheme == nil {
		return nil, fault.New(codes.Unavailable, typesv1.Reason_REASON_NOT_ENOUGH_DISKS, "too few disks").WithRetryAfter(time.Second)
	}
	p.volume++
	v := &placementv1.Volume{
		Id: p.volume, State: placementv1.VolumeState_VOLUME_STATE_OPENING, VolumeClass: r.GetVolumeClass(),
		Scheme: scheme, Wanted: r.GetScheme(), Generation: 1, Members: members,
		Writer: r.GetWriter(), Term: r.GetTerm(), Capacity: p.capacity,
	}
	p.store(v)
	return &placementv1.OpenVolumeResponse{Volume: proto.CloneOf(v)}, nil
}

// ConfirmVolume makes an opening volume open.
func (p *Placement) ConfirmVolume(
	_ context.Context, r *placementv1.ConfirmVolumeRequest,
) (*placementv1.ConfirmVolumeResponse, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.mu.Unlock()
	v := p.volumes[r.GetVolume()]
	if v == nil {
		return nil, fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_VOLUME, "no volume %d", r.GetVolume())
	}
	if v.GetState() == placementv1.VolumeState_VOLUME_STATE_OPENING {
		if v.GetRevision() != r.GetRevision() {
			return nil, fault.New(codes.Aborted, typesv1.Reason_REASON_VOLUME_CONFLICT, "the entry moved on")
		}
		v.State = placementv1.VolumeState_VOLUME_STATE_OPEN
		p.store(v)
	}
	return &placementv1.ConfirmVolumeResponse{Volume: proto.CloneOf(v)}, nil
}

// SealVolume decides a length, once.
func (p *Placement) SealVolume(_ context.Context, r *placementv1.SealVolumeRequest) (*placementv1.SealVolumeResponse, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.mu.Unlock()
	v := p.volumes[r.GetVolume()]
	if v == nil {
		return nil, fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_VOLUME, "no volume %d", r.GetVolume())
	}
	if v.GetState() != placementv1.VolumeState_VOLUME_STATE_SEALED {
		v.State, v.Length = placementv1.VolumeState_VOLUME_STATE_SEALED, r.GetLength()
		p.store(v)
	}
	return &placementv1.SealVolumeResponse{Volume: proto.CloneOf(v)}, nil
}

// GetVolumes reads entries; without fresh it knows only those that the map had when Down was last... none are hidden.
func (p *Placement) GetVolumes(
	ctx context.Context, r *placementv1.GetVolumesRequest,
) (*placementv1.GetVolumesResponse, error) {
	if p.Delay > 0 {
		timer := time.NewTimer(p.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, fault.FromContext(ctx.Err())
		}
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.mu.Unlock()
	p.Batches = append(p.Batches, len(r.GetIds()))
	if r.GetFresh() {
		p.FreshReads++
	}
	answer := &placementv1.GetVolumesResponse{}
	for _, id := range r.GetIds() {
		if v := p.volumes[id]; v != nil {
			answer.Volumes = append(answer.Volumes, proto.CloneOf(v))
		}
	}
	return answer, nil
}

// ReportDisks notes reports.
func (p *Placement) ReportDisks(_ context.Context, r *placementv1.ReportDisksRequest) (*placementv1.ReportDisksResponse, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.mu.Unlock()
	p.reports = append(p.reports, r.GetReports()...)
	return &placementv1.ReportDisksResponse{}, nil
}

// WatchTopology sends the topology at once and at every change, until the placement goes down.
func (p *Placement) WatchTopology(
	_ *placementv1.WatchTopologyRequest, stream grpc.ServerStreamingServer[placementv1.WatchTopologyResponse],
) error {
	for {
		if err := p.enter(); err != nil {
			return err
		}
		topology, changed := p.topology(), p.changed
		p.mu.Unlock()
		if err := stream.Send(&placementv1.WatchTopologyResponse{Topology: topology}); err != nil {
			return err //nolint:wrapcheck // the stream's own
		}
		select {
		case <-changed:
		case <-stream.Context().Done():
			return nil
		}
	}
}

func (p *Placement) topology() *placementv1.Topology {
	t := &placementv1.Topology{ClusterId: ClusterID, Version: p.version, DefaultScheme: p.Default}
	t.WriteScheme, _ = pick(p.nodes, p.Default, nil)
	for _, n := range p.nodes {
		t.Nodes = append(t.Nodes, proto.CloneOf(n))
	}
	return t
}

// pick chooses members, one per node and zones in turn, for the wanted scheme or the cheapest one that survives a zone
// and a disk; nil when there is none.
func pick(nodes []*placementv1.Node, wanted *typesv1.Scheme, exclude []string) (*typesv1.Scheme, []*placementv1.Member) {
	zones := make(map[string][]*placementv1.Member)
	count := 0
	for _, n := range nodes {
		disk := n.GetDisks()[0].GetId()
		if n.GetState() != placementv1.NodeState_NODE_STATE_UP || slices.Contains(exclude, disk) {
			continue
		}
		zone := n.GetPlace().GetZone()
		zones[zone] = append(zones[zone], &placementv1.Member{Disk: disk, Node: n.GetPlace().GetNode(), Attempt: 1})
		count++
	}
	var spread []*placementv1.Member // the zones in turn
	for i := 0; len(spread) < count; i++ {
		for _, zone := range slices.Sorted(maps.Keys(zones)) {
			if i < len(zones[zone]) {
				spread = append(spread, zones[zone][i])
			}
		}
	}
	widest := func(n int) int {
		most := make(map[string]int)
		for _, m := range spread[:n] {
			for zone, members := range zones {
				if slices.Contains(members, m) {
					most[zone]++
				}
			}
		}
		return slices.Max(slices.Collect(maps.Values(most)))
	}
	if n := int(wanted.GetK() + wanted.GetM()); n <= count {
		return wanted, spread[:n]
	}
	var best *typesv1.Scheme
	for k := uint32(1); k <= wanted.GetK(); k++ {
		for m := uint32(2); int(k+m) <= count; m++ {
			if int(m) < widest(int(k+m))+1 {
				continue
			}
			if best == nil || (k+m)*best.GetK() <= (best.GetK()+best.GetM())*k {
				best = &typesv1.Scheme{K: k, M: m}
			}
		}
	}
	if best == nil {
		return nil, nil
	}
	return best, spread[:best.GetK()+best.GetM()]
}
