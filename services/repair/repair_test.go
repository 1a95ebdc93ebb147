package repair

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	repairv1 "github.com/drystone-store/drystone/proto/gen/drystone/repair/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/app"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/log"
	"github.com/drystone-store/drystone/services/kit/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// placement serves a fixed map and topology.
type placement struct {
	placementv1.UnimplementedPlacementServiceServer
	topology *placementv1.Topology
	pages    []*placementv1.ListVolumesResponse
	err      error // after the pages
}

func (p *placement) WatchTopology(
	_ *placementv1.WatchTopologyRequest, stream grpc.ServerStreamingServer[placementv1.WatchTopologyResponse],
) error {
	if err := stream.Send(&placementv1.WatchTopologyResponse{Topology: p.topology}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return stream.Context().Err()
}

func (p *placement) ListVolumes(
	_ *placementv1.ListVolumesRequest, stream grpc.ServerStreamingServer[placementv1.ListVolumesResponse],
) error {
	for _, page := range p.pages {
		if err := stream.Send(page); err != nil {
			return err
		}
	}
	return p.err
}

func node(name string, state placementv1.NodeState, disks ...*placementv1.Disk) *placementv1.Node {
	return &placementv1.Node{Place: &typesv1.Place{Zone: "z", Rack: "r", Node: name}, State: state, Disks: disks}
}

func disk(id string, state placementv1.DiskState) *placementv1.Disk {
	return &placementv1.Disk{Id: id, State: state}
}

func sealed(disks ...string) *placementv1.Volume {
	v := &placementv1.Volume{
		State: placementv1.VolumeState_VOLUME_STATE_SEALED, Scheme: &typesv1.Scheme{K: 2, M: 1},
	}
	for _, d := range disks {
		v.Members = append(v.Members, &placementv1.Member{Disk: d})
	}
	return v
}

// start runs a repair service beside a placement in this process and returns a client of it.
func start(t *testing.T, p *placement) repairv1.RepairServiceClient {
	t.Helper()
	registry := rpc.NewRegistry()
	fake := rpc.NewServer(rpc.ServerOptions{Name: "placement"})
	placementv1.RegisterPlacementServiceServer(fake, p)
	registry.Register("placement", fake)
	dialer := rpc.NewDialer(rpc.DialerOptions{Registry: registry, Caller: "test"})

	service, err := New(Config{Name: "repair-1", Placement: []string{"inproc:placement"}},
		app.Env{Log: log.Discard(), Dialer: dialer, Registry: registry})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- fake.Serve(ctx) }()
	go func() { ended <- service.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	return repairv1.NewRepairServiceClient(service.Server().InProcess())
}

func TestGetStatus(t *testing.T) {
	const up, down = placementv1.NodeState_NODE_STATE_UP, placementv1.NodeState_NODE_STATE_DOWN
	const fine = placementv1.DiskState_DISK_STATE_OK
	client := start(t, &placement{
		topology: &placementv1.Topology{ClusterId: "c", Nodes: []*placementv1.Node{
			node("n1", up, disk("a", fine), disk("full", placementv1.DiskState_DISK_STATE_FULL)),
			node("n2", up, disk("b", fine), disk("failed", placementv1.DiskState_DISK_STATE_FAILED)),
			node("n3", placementv1.NodeState_NODE_STATE_SUSPECT, disk("c", placementv1.DiskState_DISK_STATE_READ_ONLY)),
			node("n4", down, disk("away", fine)),
		}},
		pages: []*placementv1.ListVolumesResponse{
			{Volumes: []*placementv1.Volume{sealed("a", "b", "c"), sealed("full", "b", "c")}},
			{Volumes: []*placementv1.Volume{sealed("a", "b", "away"), sealed("a", "failed", "unknown")}},
			{Volumes: []*placementv1.Volume{
				{State: placementv1.VolumeState_VOLUME_STATE_OPEN, ChangedMs: time.Now().Add(-time.Hour).UnixMilli()},
				{State: placementv1.VolumeState_VOLUME_STATE_OPEN, ChangedMs: time.Now().UnixMilli()},
			}},
		},
	})
	got, err := client.GetStatus(t.Context(), &repairv1.GetStatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	want := &repairv1.GetStatusResponse{
		State: "idle", Unsealed: 1,
		Spares: []*repairv1.SpareCount{{Spares: -1, Volumes: 1}, {Spares: 0, Volumes: 1}, {Spares: 1, Volumes: 2}},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

func TestGetStatusNeverAnswersWithPartOfTheMap(t *testing.T) {
	client := start(t, &placement{
		topology: &placementv1.Topology{ClusterId: "c"},
		pages:    []*placementv1.ListVolumesResponse{{Volumes: []*placementv1.Volume{sealed("a", "b", "c")}}},
		err:      fault.New(codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE, "etcd is away"),
	})
	got, err := client.GetStatus(t.Context(), &repairv1.GetStatusRequest{})
	if !fault.Is(err, typesv1.Reason_REASON_UNAVAILABLE) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestConfigValidate(t *testing.T) {
	for _, c := range []struct {
		name   string
		config Config
		valid  bool
	}{
		{name: "in process", config: Config{Name: "r", Placement: []string{"inproc:placement"}}, valid: true},
		{name: "listening", config: Config{Name: "r", Listen: "127.0.0.1:0", Placement: []string{"a:1", "b:1"}}, valid: true},
		{name: "no name", config: Config{Placement: []string{"a:1"}}},
		{name: "no placement", config: Config{Name: "r"}},
		{name: "listen is no address", config: Config{Name: "r", Listen: "8080", Placement: []string{"a:1"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.config.Validate(); (err == nil) != c.valid {
				t.Errorf("valid: %v", err)
			}
		})
	}
}
