package placement_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/rpc"
	"github.com/drystone-store/drystone/services/placement"
	"github.com/drystone-store/drystone/services/placement/internal/etcdtest"
)

func TestVolumeThroughTwoReplicas(t *testing.T) {
	etcd := etcdtest.Start(t, 1)
	a, b := start(t, placement.Config{}, etcd.Client(t, 0)), start(t, placement.Config{}, etcd.Client(t, 0))
	all := nodes(3, 3, 3)
	a.register(t, all...)
	b.beat(t, all...)
	term := a.term(t, "w")
	opened, err := b.open(t, "w", term, "rs-5-4")
	if err != nil {
		t.Fatal(err)
	}
	want := &placementv1.Volume{
		Id: 1<<48 | 1, State: placementv1.VolumeState_VOLUME_STATE_OPENING,
		VolumeClass: typesv1.VolumeClass_VOLUME_CLASS_STREAM,
		Scheme:      scheme(t, "rs-5-4"), Wanted: scheme(t, "rs-5-4"), Generation: 1,
		Writer: "w", Term: term, Capacity: 1020 << 20,
	}
	if diff := cmp.Diff(want, opened, protocmp.Transform(),
		protocmp.IgnoreFields(&placementv1.Volume{}, "members", "changed_ms", "revision")); diff != "" {
		t.Errorf("opened (-want +got):\n%s", diff)
	}
	wantSpread(t, opened, 3, 3, 3)

	confirmed, err := a.ConfirmVolume(t.Context(), &placementv1.ConfirmVolumeRequest{
		Volume: opened.GetId(), Revision: opened.GetRevision(),
	})
	if err != nil || confirmed.GetVolume().GetState() != placementv1.VolumeState_VOLUME_STATE_OPEN {
		t.Fatalf("confirmed: %v, %v", confirmed, err)
	}
	sealed, err := b.SealVolume(t.Context(), &placementv1.SealVolumeRequest{
		Volume: opened.GetId(), Generation: opened.GetGeneration(), Length: 1 << 20,
	})
	if err != nil || sealed.GetVolume().GetLength() != 1<<20 {
		t.Fatalf("sealed: %v, %v", sealed, err)
	}
	got, err := a.GetVolumes(t.Context(), &placementv1.GetVolumesRequest{Ids: []uint64{opened.GetId(), 99}, Fresh: true})
	if diff := cmp.Diff([]*placementv1.Volume{sealed.GetVolume()}, got.GetVolumes(), protocmp.Transform()); err != nil || diff != "" {
		t.Errorf("got: %v (-want +got):\n%s", err, diff)
	}
}

// wantSpread checks that the columns of a volume lie on distinct disks and that the zones have so many of them,
// widest first.
func wantSpread(t *testing.T, v *placementv1.Volume, want ...int) {
	t.Helper()
	disks, zones := map[string]bool{}, map[string]int{}
	for c, m := range v.GetMembers() {
		if disks[m.GetDisk()] || m.GetAttempt() == 0 || !strings.HasPrefix(m.GetDisk(), m.GetNode()) {
			t.Errorf("column %d: %v", c, m)
		}
		disks[m.GetDisk()] = true
		zones[m.GetNode()[:2]]++
	}
	var got []int
	for _, n := range zones {
		got = append(got, n)
	}
	slices.Sort(got)
	slices.Reverse(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("columns of each zone (-want +got):\n%s", diff)
	}
}

func TestFiftyWritersAtOnce(t *testing.T) {
	etcd := etcdtest.Start(t, 1)
	replicas := []*replica{start(t, placement.Config{}, etcd.Client(t, 0)), start(t, placement.Config{}, etcd.Client(t, 0))}
	all := nodes(3, 3, 3)
	replicas[0].register(t, all...)
	replicas[1].beat(t, all...)
	const writers = 50
	var running sync.WaitGroup
	ids, terms := make([]uint64, writers), make([]uint64, writers)
	for i := range writers {
		running.Go(func() {
			writer := fmt.Sprintf("w%d", i)
			started, err := replicas[i%2].StartTerm(t.Context(), &placementv1.StartTermRequest{Writer: writer})
			if err != nil {
				t.Error(err)
				return
			}
			// The term is used on the other replica at once.
			v, err := replicas[(i+1)%2].open(t, writer, started.GetTerm(), "rs-4-2")
			if err != nil {
				t.Error(err)
				return
			}
			ids[i], terms[i] = v.GetId(), started.GetTerm()
		})
	}
	running.Wait()
	for name, numbers := range map[string][]uint64{"ids": ids, "terms": terms} {
		slices.Sort(numbers)
		if unique := slices.Compact(slices.Clone(numbers)); len(unique) != writers || unique[0] == 0 {
			t.Errorf("%s are not unique: %x", name, numbers)
		}
	}
	stream, err := replicas[1].ListVolumes(t.Context(), &placementv1.ListVolumesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var listed []uint64
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range part.GetVolumes() {
			listed = append(listed, v.GetId())
		}
	}
	if diff := cmp.Diff(ids, listed); diff != "" {
		t.Errorf("listed (-opened +listed):\n%s", diff)
	}
}

func TestOutages(t *testing.T) {
	for _, c := range []struct {
		name   string
		failed func([]*placementv1.Node) []*placementv1.Node
		want   string
		spread []int
	}{
		{"a node", func(n []*placementv1.Node) []*placementv1.Node { return n[4:5] }, "rs-4-4", []int{3, 3, 2}},
		{"a zone", func(n []*placementv1.Node) []*placementv1.Node { return n[:3] }, "rs-2-4", []int{3, 3}},
		{"a zone and all but one of each other", func(n []*placementv1.Node) []*placementv1.Node {
			return slices.Concat(n[:5], n[6:8])
		}, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			etcd := etcdtest.Start(t, 1)
			r := start(t, placement.Config{}, etcd.Client(t, 0))
			all := nodes(3, 3, 3)
			r.register(t, all...)
			term := r.term(t, "w")
			fail(t, c.failed(all), r)
			v, err := r.open(t, "w", term, "rs-5-4")
			if c.want == "" {
				wantReason(t, err, typesv1.Reason_REASON_NOT_ENOUGH_DISKS)
				if after, ok := fault.RetryAfter(err); fault.Code(err) != codes.Unavailable || !ok || after <= 0 {
					t.Errorf("%v: want UNAVAILABLE and when to try again", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := erasure.FromProto(v.GetScheme())
			if err != nil || got.String() != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if !cmp.Equal(v.GetWanted(), scheme(t, "rs-5-4"), protocmp.Transform()) {
				t.Errorf("wanted: %v", v.GetWanted())
			}
			wantSpread(t, v, c.spread...)
		})
	}
}

func TestReportedAndExcludedDisksAreAvoided(t *testing.T) {
	etcd := etcdtest.Start(t, 1)
	r := start(t, placement.Config{}, etcd.Client(t, 0))
	r.register(t, nodes(4, 4, 4)...)
	term := r.term(t, "w")
	answer, err := r.ReportDisks(t.Context(), &placementv1.ReportDisksRequest{
		Reporter: "w", Reports: []*placementv1.DiskReport{{Disk: "z0-n0-d0", Reason: "DISK_FAILED"}},
	})
	if diff := cmp.Diff([]string{"z0-n0-d0"}, answer.GetBarred()); err != nil || diff != "" {
		t.Errorf("barred: %v\n%s", err, diff)
	}
	for range 20 {
		v, err := r.open(t, "w", term, "rs-5-4", "z1-n1-d0")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range v.GetMembers() {
			if m.GetDisk() == "z0-n0-d0" || m.GetDisk() == "z1-n1-d0" {
				t.Errorf("disk %s was picked", m.GetDisk())
			}
		}
	}
}

// TestReplicaThatHasJustStartedDoesNotFallBack knows nine nodes from the register, but only some of them are heard.
func TestReplicaThatHasJustStartedDoesNotFallBack(t *testing.T) {
	etcd := etcdtest.Start(t, 1)
	a := start(t, placement.Config{}, etcd.Client(t, 0))
	all := nodes(3, 3, 3)
	a.register(t, all...)
	term := a.term(t, "w")
	fresh := start(t, placement.Config{}, etcd.Client(t, 0))
	fresh.beat(t, all[:8]...)
	_, err := fresh.open(t, "w", term, "rs-5-4")
	wantReason(t, err, typesv1.Reason_REASON_UNAVAILABLE)
	if _, err := fresh.open(t, "w", term, "rs-4-2"); err != nil {
		t.Errorf("what the eight nodes carry: %v", err)
	}
	fresh.beat(t, all[8])
	if _, err := fresh.open(t, "w", term, "rs-5-4"); err != nil {
		t.Errorf("once all are heard: %v", err)
	}
}

func TestSilentNodeIsLeftOut(t *testing.T) {
	etcd := etcdtest.Start(t, 1)
	r := start(t, placement.Config{SuspectAfter: time.Second, DownAfter: 2 * time.Second}, etcd.Client(t, 0))
	all := nodes(3, 3, 3)
	r.register(t, all...)
	term := r.term(t, "w")
	eventually(t, "rs-4-4 without the silent node", func() error {
		r.beat(t, all[:8]...)
		v, err := r.open(t, "w", term, "rs-5-4")
		if err != nil {
			return err
		}
		if s := v.GetScheme(); s.GetK() != 4 || s.GetM() != 4 {
			return fmt.Errorf("scheme rs-%d-%d", s.GetK(), s.GetM())
		}
		return nil
	})
}

func TestWatchTopology(t *testing.T) {
	etcd := etcdtest.Start(t, 1)
	a, b := start(t, placement.Config{}, etcd.Client(t, 0)), start(t, placement.Config{}, etcd.Client(t, 0))
	stream, err := b.WatchTopology(t.Context(), &placementv1.WatchTopologyRequest{})
	if err != nil {
		t.Fatal(err)
	}
	until := func(what string, done func(*placementv1.Topology) bool) {
		t.Helper()
		for version := uint64(0); ; {
			answer, err := stream.Recv()
			if err != nil {
				t.Fatalf("until %s: %v", what, err)
			}
			if answer.GetTopology().GetVersion() <= version {
				t.Fatalf("version %d after %d", answer.GetTopology().GetVersion(), version)
			}
			version = answer.GetTopology().GetVersion()
			if done(answer.GetTopology()) {
				return
			}
		}
	}
	all := nodes(3, 3, 3)
	a.register(t, all...)
	until("the nodes are known", func(topology *placementv1.Topology) bool { return len(topology.GetNodes()) == 9 })
	b.beat(t, all...)
	until("all are up", func(topology *placementv1.Topology) bool {
		return cmp.Equal(topology.GetWriteScheme(), scheme(t, "rs-5-4"), protocmp.Transform())
	})
	fail(t, all[:3], b)
	until("a zone has failed", func(topology *placementv1.Topology) bool {
		return cmp.Equal(topology.GetWriteScheme(), scheme(t, "rs-2-4"), protocmp.Transform()) &&
			cmp.Equal(topology.GetDefaultScheme(), scheme(t, "rs-5-4"), protocmp.Transform()) &&
			topology.GetFloor() == "one zone and one disk"
	})
	// A replica that hears no heartbeats knows of the failure by the register.
	late := start(t, placement.Config{}, etcd.Client(t, 0))
	eventually(t, "the failure is in the register", func() error {
		for _, d := range late.disks(t) {
			if d.GetId() == "z0-n0-d0" && d.GetState() == placementv1.DiskState_DISK_STATE_FAILED {
				return nil
			}
		}
		return errors.New("the disk does not look failed")
	})
	b.stop()
	for {
		if _, err = stream.Recv(); err != nil {
			break
		}
	}
	wantReason(t, err, typesv1.Reason_REASON_SHUTTING_DOWN)
}

// disks reads the topology once.
func (r *replica) disks(t *testing.T) []*placementv1.Disk {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := r.WatchTopology(ctx, &placementv1.WatchTopologyRequest{})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var disks []*placementv1.Disk
	for _, n := range answer.GetTopology().GetNodes() {
		disks = append(disks, n.GetDisks()...)
	}
	return disks
}

func TestTermAnswersItsTimes(t *testing.T) {
	etcd := etcdtest.Start(t, 1)
	r := start(t, placement.Config{}, etcd.Client(t, 0))
	started, err := r.StartTerm(t.Context(), &placementv1.StartTermRequest{Writer: "w"})
	if err != nil || started.GetLengthMs() != 600_000 || started.GetLeaseMs() != 15_000 {
		t.Errorf("started: %v, %v", started, err)
	}
	renewed, err := r.RenewTerm(t.Context(), &placementv1.RenewTermRequest{Writer: "w", Term: started.GetTerm()})
	if err != nil || renewed.GetLeaseMs() != 15_000 {
		t.Errorf("renewed: %v, %v", renewed, err)
	}
}

// TestOverTheNetwork restarts the service on the same etcd: the cluster, its nodes and volumes are still there.
func TestOverTheNetwork(t *testing.T) {
	etcd := etcdtest.Start(t, 1)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	first := start(t, placement.Config{Listen: address}, etcd.Client(t, 0))
	conn, err := rpc.NewDialer(rpc.DialerOptions{Caller: "test"}).Dial(address, rpc.ConnOptions{Peer: "placement"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client, members := placementv1.NewPlacementServiceClient(conn), placementv1.NewMembershipServiceClient(conn)
	for _, n := range nodes(1, 1, 1) {
		registered, err := members.RegisterNode(t.Context(), &placementv1.RegisterNodeRequest{Node: n})
		if err != nil || registered.GetHeartbeatMs() != 1000 {
			t.Fatalf("registered: %v, %v", registered, err)
		}
	}
	started, err := client.StartTerm(t.Context(), &placementv1.StartTermRequest{Writer: "w"})
	if err != nil {
		t.Fatal(err)
	}
	opened, err := client.OpenVolume(t.Context(), &placementv1.OpenVolumeRequest{
		Writer: "w", Term: started.GetTerm(), VolumeClass: typesv1.VolumeClass_VOLUME_CLASS_SYSTEM, Scheme: scheme(t, "rs-1-2"),
	})
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := members.GetCluster(t.Context(), &placementv1.GetClusterRequest{})
	if err != nil {
		t.Fatal(err)
	}
	first.stop()

	second := start(t, placement.Config{Listen: address}, etcd.Client(t, 0))
	again, err := second.members.GetCluster(t.Context(), &placementv1.GetClusterRequest{})
	if err != nil || again.GetClusterId() != cluster.GetClusterId() {
		t.Errorf("cluster %v after %v, %v", again, cluster, err)
	}
	got, err := second.GetVolumes(t.Context(), &placementv1.GetVolumesRequest{Ids: []uint64{opened.GetVolume().GetId()}})
	if diff := cmp.Diff([]*placementv1.Volume{opened.GetVolume()}, got.GetVolumes(), protocmp.Transform()); err != nil || diff != "" {
		t.Errorf("after the restart: %v (-want +got):\n%s", err, diff)
	}
}
