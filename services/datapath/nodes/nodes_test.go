package nodes_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/internal/memcluster"
	"github.com/drystone-store/drystone/services/datapath/nodes"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/rpc"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// replicas are placements of their own behind one client; the first one is that of the cluster.
func replicas(t *testing.T, n int) ([]*memcluster.Placement, *nodes.Placement) {
	t.Helper()
	registry := rpc.NewRegistry()
	dialer := rpc.NewDialer(rpc.DialerOptions{Registry: registry})
	var all []*memcluster.Placement
	var targets []string
	for i := range n {
		c := memcluster.New(memcluster.Options{Zones: 3, NodesPerZone: 1})
		server := rpc.NewServer(rpc.ServerOptions{})
		placementv1.RegisterPlacementServiceServer(server, c.Placement)
		name := string(rune('a' + i))
		registry.Register(name, server)
		targets = append(targets, "inproc:"+name)
		all = append(all, c.Placement)
	}
	client, err := nodes.DialPlacement(dialer, targets)
	if err != nil {
		t.Fatal(err)
	}
	return all, client
}

func down(p *memcluster.Placement, isDown bool) { p.Do(func() { p.Down = isDown }) }

func TestTopologyFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		placements, client := replicas(t, 2)
		topology := nodes.NewTopology(client.Client(), quiet())
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		if topology.Snapshot().ClusterID() != "" {
			t.Error("a topology before the first")
		}
		early, stop := context.WithTimeout(ctx, time.Millisecond)
		if err := topology.WaitReady(early); fault.Code(err) != codes.Unavailable {
			t.Errorf("ready too early: %v", err)
		}
		stop()
		running.Go(func() {
			if err := topology.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		if err := topology.WaitReady(ctx); err != nil {
			t.Fatal(err)
		}
		s := topology.Snapshot()
		node, ok := s.Node("z1n0")
		disk, home, found := s.Disk("z1n0-d0")
		if !ok || !found || home != node || disk.GetId() != "z1n0-d0" || node.GetAddress() != "inproc:z1n0" || s.Usable(nil) != 3 ||
			s.Usable(func(id string) bool { return id == "z1n0-d0" }) != 2 {
			t.Errorf("snapshot %v", s.Proto())
		}
		if _, ok := s.Node("nobody"); ok {
			t.Error("it knows nobody")
		}
		changed := topology.Changed()
		placements[0].SetState("z1n0", placementv1.NodeState_NODE_STATE_DOWN)
		<-changed
		if topology.Snapshot().Usable(nil) != 2 || s.Usable(nil) != 3 {
			t.Errorf("%d usable now, %d before", topology.Snapshot().Usable(nil), s.Usable(nil))
		}
		// The replica goes away: the snapshot stays, then the other replica's comes.
		down(placements[0], true)
		if topology.Snapshot().Usable(nil) != 2 {
			t.Error("the snapshot went with the replica")
		}
		time.Sleep(time.Second)
		if topology.Snapshot().Usable(nil) != 3 {
			t.Error("the other replica was not asked")
		}
		// Both go away, and come back after a long time.
		down(placements[1], true)
		time.Sleep(time.Hour)
		if topology.Snapshot().Usable(nil) != 3 {
			t.Error("the snapshot went with the last replica")
		}
		placements[0].Do(func() { placements[0].Down = false })
		placements[0].SetState("z0n0", placementv1.NodeState_NODE_STATE_DOWN)
		time.Sleep(7 * time.Second)
		if topology.Snapshot().Usable(nil) != 1 {
			t.Error("the watch did not come back")
		}
	})
}

func TestPlacementFailsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		placements, client := replicas(t, 3)
		ctx := t.Context()
		if _, err := nodes.DialPlacement(nil, nil); err == nil {
			t.Error("no targets were accepted")
		}
		down(placements[0], true)
		if _, err := client.Client().GetVolumes(ctx, &placementv1.GetVolumesRequest{}); err != nil {
			t.Errorf("an idempotent call did not go on to the next replica: %v", err)
		}
		if got := len(placements[1].Batches); got != 1 {
			t.Errorf("the second replica got %d calls", got)
		}
		// The one that answered is asked first from now on; a call that is not idempotent is not sent twice.
		down(placements[1], true)
		if _, err := client.Client().StartTerm(ctx, &placementv1.StartTermRequest{}); fault.Code(err) != codes.Unavailable {
			t.Errorf("a term was started in spite of an unknown outcome: %v", err)
		}
		if _, err := client.Client().StartTerm(ctx, &placementv1.StartTermRequest{}); err != nil {
			t.Errorf("the next try did not go to the next replica: %v", err)
		}
		// An answer is an answer, whatever its code.
		for _, n := range []string{"z0n0", "z1n0", "z2n0"} {
			placements[2].SetState(n, placementv1.NodeState_NODE_STATE_DOWN)
		}
		_, err := client.Client().OpenVolume(ctx, &placementv1.OpenVolumeRequest{Term: 1, Scheme: &typesv1.Scheme{K: 2, M: 1}})
		if !fault.Is(err, typesv1.Reason_REASON_NOT_ENOUGH_DISKS) {
			t.Errorf("opening a volume: %v", err)
		}
		down(placements[2], true)
		if _, err := client.Client().GetVolumes(ctx, &placementv1.GetVolumesRequest{}); fault.Code(err) != codes.Unavailable {
			t.Errorf("all are down: %v", err)
		}
	})
}

// A replica that stops refuses what it has not begun: that may go to another one, whatever it is.
func TestPlacementLeavesAReplicaThatStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := rpc.NewRegistry()
		for _, name := range []string{"a", "b"} {
			server := rpc.NewServer(rpc.ServerOptions{})
			placementv1.RegisterPlacementServiceServer(server, memcluster.New(memcluster.Options{Zones: 3, NodesPerZone: 1}).Placement)
			registry.Register(name, server)
		}
		stopping, _ := registry.Lookup("a")
		ended, stop := context.WithCancel(t.Context())
		stop()
		if err := stopping.Serve(ended); err != nil {
			t.Fatal(err)
		}
		client, err := nodes.DialPlacement(rpc.NewDialer(rpc.DialerOptions{Registry: registry}), []string{"inproc:a", "inproc:b"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Client().StartTerm(t.Context(), &placementv1.StartTermRequest{}); err != nil {
			t.Errorf("a term was not started by the other replica: %v", err)
		}
	})
}

func TestPlacementGivesUpOnASilentReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		placements, client := replicas(t, 2)
		placements[0].Delay = time.Minute
		begin := time.Now()
		if _, err := client.Client().GetVolumes(t.Context(), &placementv1.GetVolumesRequest{}); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took != 2*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func put(p *memcluster.Placement, id uint64, state placementv1.VolumeState) {
	p.Put(&placementv1.Volume{Id: id, State: state, Generation: 1})
}

func TestMap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		placements, client := replicas(t, 1)
		p := placements[0]
		p.Delay = 10 * time.Millisecond
		m, err := nodes.NewMap(client.Client())
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		const volumes = 50
		for id := range uint64(volumes) {
			put(p, id+1, placementv1.VolumeState_VOLUME_STATE_OPEN)
		}
		// Concurrent misses share requests, each id is asked for once.
		var asking sync.WaitGroup
		for i := range uint64(4 * volumes) {
			asking.Go(func() {
				v, err := m.Volume(t.Context(), i%volumes+1)
				if err != nil || v.GetId() != i%volumes+1 {
					t.Errorf("volume %d: %v, %v", i%volumes+1, v, err)
				}
			})
		}
		asking.Wait()
		total := 0
		for _, n := range p.Batches {
			total += n
		}
		if len(p.Batches) > 3 || total > volumes+3 {
			t.Errorf("%d misses at a time took requests of %v ids", volumes, p.Batches)
		}
		// Hits ask nobody, also when placement is down.
		down(p, true)
		if v, err := m.Volume(t.Context(), 7); err != nil || v.GetId() != 7 {
			t.Errorf("a cached entry: %v, %v", v, err)
		}
		if _, err := m.Volume(t.Context(), volumes+1); fault.Code(err) != codes.Unavailable {
			t.Errorf("a miss while placement is down: %v", err)
		}
		down(p, false)
		// Refresh replaces the entry.
		p.Put(&placementv1.Volume{Id: 7, State: placementv1.VolumeState_VOLUME_STATE_SEALED, Generation: 2})
		if v, _ := m.Volume(t.Context(), 7); v.GetGeneration() != 1 {
			t.Error("the cache was not used")
		}
		if v, err := m.Refresh(t.Context(), 7); err != nil || v.GetGeneration() != 2 {
			t.Errorf("refreshed: %v, %v", v, err)
		}
		if v, _ := m.Volume(t.Context(), 7); v.GetGeneration() != 2 {
			t.Error("the refreshed entry was not kept")
		}
		// Unknown ids are believed only after etcd said so.
		fresh := p.FreshReads
		if _, err := m.Volume(t.Context(), 999); !fault.Is(err, typesv1.Reason_REASON_NO_SUCH_VOLUME) {
			t.Errorf("an unknown volume: %v", err)
		}
		if p.FreshReads != fresh+1 {
			t.Error("etcd was not asked for an unknown volume")
		}
	})
}

func TestMapLearns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		placements, client := replicas(t, 1)
		m, err := nodes.NewMap(client.Client())
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		entry := func(state placementv1.VolumeState, revision int64) *placementv1.Volume {
			return &placementv1.Volume{Id: 5, State: state, Revision: revision}
		}
		m.Learn(entry(placementv1.VolumeState_VOLUME_STATE_OPENING, 1))
		if _, err := m.Volume(t.Context(), 5); !fault.Is(err, typesv1.Reason_REASON_NO_SUCH_VOLUME) {
			t.Errorf("a volume that is only opening was cached: %v", err)
		}
		m.Learn(entry(placementv1.VolumeState_VOLUME_STATE_SEALED, 3))
		m.Learn(entry(placementv1.VolumeState_VOLUME_STATE_OPEN, 2))
		asked := len(placements[0].Batches)
		if v, err := m.Volume(t.Context(), 5); err != nil || v.GetRevision() != 3 {
			t.Errorf("learned: %v, %v", v, err)
		}
		if len(placements[0].Batches) != asked {
			t.Error("placement was asked for what was learned")
		}
	})
}

// TestRefreshStartsAfterItWasAsked: a refresh must not be answered by a request that was under way already.
func TestRefreshStartsAfterItWasAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		placements, client := replicas(t, 1)
		p := placements[0]
		m, err := nodes.NewMap(client.Client())
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		put(p, 1, placementv1.VolumeState_VOLUME_STATE_OPEN)
		p.Delay = 10 * time.Millisecond
		var asking sync.WaitGroup
		for range 5 {
			asking.Go(func() { _, _ = m.Refresh(t.Context(), 1) })
			time.Sleep(time.Millisecond)
		}
		asking.Wait()
		if want := []int{1, 1}; !slices.Equal(p.Batches, want) {
			t.Errorf("five refreshes, four of them during the first: requests of %v ids, want %v", p.Batches, want)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := m.Refresh(ctx, 1); fault.Code(err) != codes.DeadlineExceeded {
			t.Errorf("a caller in a hurry: %v", err)
		}
	})
}
