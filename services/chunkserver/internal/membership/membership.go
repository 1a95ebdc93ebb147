// Package membership makes a node known to placement: it registers the node with every replica, learns the cluster that
// blank disks shall belong to, and says every second how the disks fare.
//
// Constraints:
//
//  1. Replicas are independent: one that is away, slow or wrong holds up none of the others.
//  2. A node never serves two clusters: the first answer, or the disks themselves, decide; who says otherwise is refused.
//  3. Nothing waits for placement but new disks: reads and open volumes go on without it.
package membership

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	randv2 "math/rand/v2"
	"sync"
	"time"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/chunkserver/internal/disk"
	"github.com/drystone-store/drystone/services/chunkserver/internal/node"
	"github.com/drystone-store/drystone/services/kit/fault"
)

const (
	// heartbeatDefault is used when a replica names no interval.
	heartbeatDefault = time.Second
	// heartbeatLeast keeps a wrong answer from making this a busy loop.
	heartbeatLeast = 50 * time.Millisecond
	// callTimeout bounds each call: several heartbeats may be late before a node counts as suspect.
	callTimeout = 2 * time.Second
	// A replica that refuses or is away is asked again after backoffFirst, then twice as late each time.
	backoffFirst = 200 * time.Millisecond
	backoffMost  = 5 * time.Second
	// maxDetail bounds the text about a disk: placement refuses more.
	maxDetail = 512
)

// Disks are what membership needs of the node.
type Disks interface {
	// Cluster is the disks' cluster, empty while all are blank.
	Cluster() string
	// Format makes disks of blank folders. Error: node.ErrOtherCluster and those of the file system.
	Format(cluster string) error
	Reports() []node.Report
}

// Options configure a Member.
type Options struct {
	// Node says who and where the node is, without its disks.
	Node  *placementv1.Node
	Disks Disks
	// Replicas are all placement replicas, by a name for the log.
	Replicas map[string]placementv1.MembershipServiceClient
	Log      *slog.Logger
}

// Member keeps a node registered while Run runs.
type Member struct {
	Options
	run string
	// formatting is held while blank disks are made.
	formatting sync.Mutex
}

// New makes a member; its run id is new each time.
func New(o Options) *Member { return &Member{Options: o, run: rand.Text()} }

// Run works until ctx ends.
func (m *Member) Run(ctx context.Context) {
	var working sync.WaitGroup
	defer working.Wait()
	for name, client := range m.Replicas {
		log := m.Log.With(slog.String("replica", name))
		working.Go(func() { (&replica{member: m, client: client, log: log}).run(ctx) })
	}
}

// replica is one placement replica.
type replica struct {
	member *Member
	client placementv1.MembershipServiceClient
	log    *slog.Logger
	// last is the last trouble that was logged: it is said once, not every second.
	last string
}

// run registers, then sends heartbeats until the replica wants a registration again.
func (r *replica) run(ctx context.Context) {
	wait := backoffFirst
	for ctx.Err() == nil {
		interval, err := r.register(ctx)
		if err != nil {
			r.trouble(ctx, "registering the node", err)
			pause(ctx, wait/2+randv2.N(wait))
			wait = min(2*wait, backoffMost)
			continue
		}
		wait = backoffFirst
		r.calm()
		r.beat(ctx, interval)
	}
}

// register makes the node known, after new disks were made if there are any.
func (r *replica) register(ctx context.Context) (interval time.Duration, err error) {
	if err := r.join(ctx); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	node := r.member.describe()
	answer, err := r.client.RegisterNode(ctx, &placementv1.RegisterNodeRequest{ClusterId: r.member.Disks.Cluster(), Node: node})
	if err != nil {
		return 0, fmt.Errorf("register the node: %w", err)
	}
	interval = time.Duration(answer.GetHeartbeatMs()) * time.Millisecond
	if interval <= 0 {
		return heartbeatDefault, nil
	}
	return max(interval, heartbeatLeast), nil
}

// join asks for the cluster, if the disks do not know it, and makes disks of blank folders.
func (r *replica) join(ctx context.Context) error {
	m := r.member
	if m.Disks.Cluster() != "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := r.client.GetCluster(ctx, &placementv1.GetClusterRequest{})
	if err != nil {
		return fmt.Errorf("ask for the cluster: %w", err)
	}
	m.formatting.Lock()
	defer m.formatting.Unlock()
	if answer.GetClusterId() == "" || m.Disks.Cluster() != "" {
		return nil // the registration will say what is wrong, if anything is
	}
	if err := m.Disks.Format(answer.GetClusterId()); err != nil {
		return fmt.Errorf("format new disks: %w", err)
	}
	return nil
}

// beat sends heartbeats until the replica does not know the node, or a disk of it.
func (r *replica) beat(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		err := r.heartbeat(ctx)
		switch {
		case err == nil:
			r.calm()
		case fault.Is(err, typesv1.Reason_REASON_NO_SUCH_DISK), fault.Is(err, typesv1.Reason_REASON_CLUSTER_MISMATCH):
			return
		default:
			r.trouble(ctx, "sending a heartbeat", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (r *replica) heartbeat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := r.client.Heartbeat(ctx, &placementv1.HeartbeatRequest{
		Node: r.member.Node.GetPlace().GetNode(), Run: r.member.run, Disks: disks(r.member.Disks.Reports()),
	})
	return err
}

// trouble logs a failure, once as long as it stays the same.
func (r *replica) trouble(ctx context.Context, doing string, err error) {
	text := doing + ": " + fault.Reason(err).String()
	if ctx.Err() != nil || text == r.last {
		return
	}
	r.last = text
	level := slog.LevelWarn
	if fault.Is(err, typesv1.Reason_REASON_CLUSTER_MISMATCH, typesv1.Reason_REASON_INVALID_ARGUMENT) {
		level = slog.LevelError // this does not mend itself
	}
	r.log.Log(ctx, level, "placement does not know how this node fares", slog.String("doing", doing), slog.Any("error", err))
}

func (r *replica) calm() {
	if r.last != "" {
		r.last = ""
		r.log.Info("placement hears of this node again")
	}
}

// describe is the node with its disks as of now.
func (m *Member) describe() *placementv1.Node {
	n := m.Node
	return &placementv1.Node{
		Place: n.GetPlace(), Address: n.GetAddress(), Socket: n.GetSocket(), BootId: n.GetBootId(),
		Disks: disks(m.Disks.Reports()),
	}
}

func disks(reports []node.Report) []*placementv1.Disk {
	out := make([]*placementv1.Disk, len(reports))
	for i, r := range reports {
		out[i] = &placementv1.Disk{
			Id: r.ID, Path: r.Path, State: state(r.State), Detail: r.Detail[:min(len(r.Detail), maxDetail)],
			CapacityBytes: uint64(max(0, r.Capacity)), FreeBytes: uint64(max(0, r.Free)), Chunks: uint64(r.Chunks),
			SyncUs: uint64(r.Sync.Microseconds()),
		}
	}
	return out
}

func state(s disk.State) placementv1.DiskState {
	switch s {
	case disk.StateOK:
		return placementv1.DiskState_DISK_STATE_OK
	case disk.StateFull:
		return placementv1.DiskState_DISK_STATE_FULL
	case disk.StateReadOnly:
		return placementv1.DiskState_DISK_STATE_READ_ONLY
	case disk.StateFailed:
		return placementv1.DiskState_DISK_STATE_FAILED
	default:
		return placementv1.DiskState_DISK_STATE_UNSPECIFIED
	}
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
