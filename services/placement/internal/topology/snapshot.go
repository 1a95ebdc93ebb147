package topology

import (
	"google.golang.org/grpc/codes"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/placement/internal/policy"
)

// Snapshot is the disks as they are at this moment, for the policy. settled is false while a node may be alive that
// this replica has not heard of yet, or is expected and has never been registered.
func (p *Publisher) Snapshot() (disks *policy.Topology, settled bool) {
	nodes, settled := p.members.Nodes()
	disks = policy.NewTopology(p.disks(nodes))
	return disks, settled && !p.gathering(disks)
}

// Forgiving is Snapshot's disks as if no report barred any: for when the others are too few. Reports are advice, and a
// node that restarted a moment ago stays barred for a minute; writers leave out what fails under them right now.
func (p *Publisher) Forgiving() *policy.Topology {
	nodes, _ := p.members.Nodes()
	for _, n := range nodes {
		for _, d := range n.GetDisks() {
			d.Barred = false
		}
	}
	return policy.NewTopology(p.disks(nodes))
}

// gathering says that the first nodes of a new cluster are still coming: what they could carry alone is no measure.
func (p *Publisher) gathering(disks *policy.Topology) bool {
	return disks.Registered().Nodes() < p.options.ExpectedNodes && clock.Since(p.started) < gatherPatience
}

// disks is the nodes as the policy sees them. Columns are counted on the map: a volume that was just opened has no
// chunks that a heartbeat could have told of.
func (p *Publisher) disks(nodes []*placementv1.Node) []policy.Disk {
	columns := p.volumes.Columns()
	var disks []policy.Disk
	for _, n := range nodes {
		for _, d := range n.GetDisks() {
			disks = append(disks, policy.Disk{
				ID: d.GetId(), Zone: n.GetPlace().GetZone(), Rack: n.GetPlace().GetRack(), Node: n.GetPlace().GetNode(),
				Health:        health(n.GetState(), d),
				CapacityBytes: d.GetCapacityBytes(), FreeBytes: d.GetFreeBytes(),
				Chunks: max(d.GetChunks(), columns[d.GetId()]),
			})
		}
	}
	return disks
}

// health says what a disk may be used for. A lost disk is lost whatever its node does.
func health(node placementv1.NodeState, d *placementv1.Disk) policy.Health {
	switch {
	case d.GetState() == placementv1.DiskState_DISK_STATE_FAILED, d.GetState() == placementv1.DiskState_DISK_STATE_MISSING:
		return policy.Lost
	case node == placementv1.NodeState_NODE_STATE_DOWN:
		return policy.Unreachable
	case node == placementv1.NodeState_NODE_STATE_UP && d.GetState() == placementv1.DiskState_DISK_STATE_OK && !d.GetBarred():
		return policy.Usable
	default:
		return policy.Reserved
	}
}

// defaultScheme is what buckets get that ask for none. A configured one is judged by the registered disks whenever it
// is asked for, so it becomes available when enough nodes have come. Errors: SCHEME_DOES_NOT_FIT.
func (p *Publisher) defaultScheme(disks *policy.Topology) (erasure.Scheme, error) {
	registered := disks.Registered()
	if configured := p.options.DefaultScheme; configured != (erasure.Scheme{}) {
		return configured, policy.Fits(configured, registered)
	}
	if registered.Nodes() < p.options.ExpectedNodes {
		return erasure.Scheme{}, fault.New(codes.FailedPrecondition, typesv1.Reason_REASON_SCHEME_DOES_NOT_FIT,
			"%d of %d expected nodes are registered", registered.Nodes(), p.options.ExpectedNodes)
	}
	return policy.Default(registered)
}
