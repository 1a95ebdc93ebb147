package membership

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/chunkserver/internal/disk"
	"github.com/drystone-store/drystone/services/chunkserver/internal/node"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// fakeReplica is a placement replica that remembers what it was told.
type fakeReplica struct {
	mu         sync.Mutex
	cluster    string
	away       bool
	registered *placementv1.RegisterNodeRequest
	beats      []*placementv1.HeartbeatRequest
	asked      int
	tries      int
}

func (r *fakeReplica) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

// count is how many heartbeats came.
func (r *fakeReplica) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.beats)
}

var errAway = fault.New(codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE, "away")

func (r *fakeReplica) GetCluster(context.Context, *placementv1.GetClusterRequest, ...grpc.CallOption) (*placementv1.GetClusterResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	if r.away {
		return nil, errAway
	}
	return &placementv1.GetClusterResponse{ClusterId: r.cluster}, nil
}

func (r *fakeReplica) RegisterNode(_ context.Context, req *placementv1.RegisterNodeRequest, _ ...grpc.CallOption) (*placementv1.RegisterNodeResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tries++
	switch {
	case r.away:
		return nil, errAway
	case req.GetClusterId() != r.cluster:
		return nil, fault.New(codes.FailedPrecondition, typesv1.Reason_REASON_CLUSTER_MISMATCH, "another cluster")
	}
	r.registered = req
	return &placementv1.RegisterNodeResponse{ClusterId: r.cluster, HeartbeatMs: 1000}, nil
}

func (r *fakeReplica) Heartbeat(_ context.Context, req *placementv1.HeartbeatRequest, _ ...grpc.CallOption) (*placementv1.HeartbeatResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.away:
		return nil, errAway
	case r.registered == nil:
		return nil, fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_DISK, "register first")
	}
	r.beats = append(r.beats, req)
	return &placementv1.HeartbeatResponse{}, nil
}

// fakeDisks is one disk, blank until it has a cluster.
type fakeDisks struct {
	mu      sync.Mutex
	cluster string
	formats int
}

func (d *fakeDisks) Cluster() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cluster
}

func (d *fakeDisks) Format(cluster string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cluster != "" && d.cluster != cluster {
		return errors.New("another cluster")
	}
	d.cluster = cluster
	d.formats++
	return nil
}

func (d *fakeDisks) Reports() []node.Report {
	return []node.Report{{ID: "disk-1", Path: "/a", Chunks: 3, Status: disk.Status{
		State: disk.StateReadOnly, Detail: "d", Capacity: 100, Free: 40, Sync: 1500 * time.Microsecond,
	}}}
}

func run(t *testing.T, disks *fakeDisks, replicas map[string]*fakeReplica, work func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		clients := map[string]placementv1.MembershipServiceClient{}
		for name, r := range replicas {
			clients[name] = r
		}
		m := New(Options{
			Node:  &placementv1.Node{Place: &typesv1.Place{Zone: "z1", Rack: "r1", Node: "node-1"}, Address: "here:1"},
			Disks: disks, Replicas: clients, Log: slog.New(slog.DiscardHandler),
		})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { m.Run(ctx) })
		work(t)
		cancel()
		wg.Wait()
	})
}

func TestRegistersAndBeatsEverywhere(t *testing.T) {
	a, b := &fakeReplica{cluster: "c1"}, &fakeReplica{cluster: "c1"}
	disks := &fakeDisks{cluster: "c1"}
	run(t, disks, map[string]*fakeReplica{"a": a, "b": b}, func(t *testing.T) {
		time.Sleep(10*time.Second + time.Millisecond)
		want := &placementv1.Disk{
			Id: "disk-1", Path: "/a", State: placementv1.DiskState_DISK_STATE_READ_ONLY, Detail: "d",
			CapacityBytes: 100, FreeBytes: 40, Chunks: 3, SyncUs: 1500,
		}
		for _, r := range []*fakeReplica{a, b} {
			r.set(func() {
				if n := len(r.beats); n != 11 {
					t.Errorf("%d heartbeats in 10 s, want 11", n)
				}
				if diff := cmp.Diff([]*placementv1.Disk{want}, r.registered.GetNode().GetDisks(), protocmp.Transform()); diff != "" {
					t.Error(diff)
				}
				if diff := cmp.Diff([]*placementv1.Disk{want}, r.beats[3].GetDisks(), protocmp.Transform()); diff != "" {
					t.Error(diff)
				}
				if r.beats[0].GetRun() == "" || r.beats[0].GetRun() != r.beats[10].GetRun() {
					t.Error("a run has one id")
				}
			})
		}
	})
	if a.asked != 0 {
		t.Error("asked for the cluster although the disks know it")
	}
}

func TestBlankDisksLearnTheCluster(t *testing.T) {
	a, b := &fakeReplica{cluster: "c1"}, &fakeReplica{cluster: "c1"}
	disks := &fakeDisks{}
	run(t, disks, map[string]*fakeReplica{"a": a, "b": b}, func(t *testing.T) {
		time.Sleep(3 * time.Second)
		if disks.Cluster() != "c1" || a.count() == 0 || b.count() == 0 {
			t.Errorf("cluster %q, %d and %d heartbeats", disks.Cluster(), a.count(), b.count())
		}
	})
	if disks.formats != 1 {
		t.Errorf("formatted %d times", disks.formats)
	}
}

// TestPlacementIsAway: at the start and later; one replica does not hold up the other.
func TestPlacementIsAway(t *testing.T) {
	a, b := &fakeReplica{cluster: "c1", away: true}, &fakeReplica{cluster: "c1"}
	disks := &fakeDisks{cluster: "c1"}
	run(t, disks, map[string]*fakeReplica{"a": a, "b": b}, func(t *testing.T) {
		time.Sleep(time.Minute)
		a.set(func() {
			if a.tries < 10 || a.tries > 25 {
				t.Errorf("%d tries in a minute, want about one in %v", a.tries, backoffMost)
			}
			a.away = false
		})
		if b.count() < 59 {
			t.Errorf("%d heartbeats to the other in a minute", b.count())
		}
		time.Sleep(2 * backoffMost)
		a.set(func() {
			if len(a.beats) == 0 {
				t.Error("not registered after it came back")
			}
			a.away = true
		})
		time.Sleep(10 * time.Second)
		a.set(func() {
			a.away = false
			a.registered = nil // it lost its memory meanwhile
			a.beats = nil
		})
		time.Sleep(3 * time.Second)
		a.set(func() {
			if a.registered == nil || len(a.beats) == 0 {
				t.Error("not registered again with a replica that forgot the node")
			}
		})
	})
}

// TestTwoClusters: the replica of another one is refused, for ever, and the right one served.
func TestTwoClusters(t *testing.T) {
	right, wrong := &fakeReplica{cluster: "c1"}, &fakeReplica{cluster: "c2"}
	disks := &fakeDisks{cluster: "c1"}
	run(t, disks, map[string]*fakeReplica{"right": right, "wrong": wrong}, func(t *testing.T) {
		time.Sleep(time.Minute)
		if disks.Cluster() != "c1" || wrong.count() != 0 || right.count() < 59 {
			t.Errorf("cluster %q, %d heartbeats to the wrong replica, %d to the right one", disks.Cluster(), wrong.count(), right.count())
		}
	})
}
