package placement_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/kit/app"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/rpc"
	"github.com/drystone-store/drystone/services/placement"
)

// patience bounds waits for something that must come; the machine may be busy.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// replica is a running placement service and clients of it.
type replica struct {
	placementv1.PlacementServiceClient
	members placementv1.MembershipServiceClient
	service *placement.Service
	stop    func()
}

// start runs a replica until the test ends and waits until it serves.
func start(t *testing.T, cfg placement.Config, etcd *clientv3.Client) *replica {
	t.Helper()
	if cfg.Name == "" {
		cfg.Name = "p"
	}
	if cfg.SuspectAfter == 0 {
		cfg.SuspectAfter = time.Hour // tests do not keep up heartbeats unless they are about them
	}
	registry := rpc.NewRegistry()
	service, err := placement.New(cfg, app.Env{Log: slog.New(slog.DiscardHandler), Registry: registry}, etcd)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("run: %v", err)
			}
		case <-time.After(patience):
			t.Error("the service does not stop")
		}
	})
	t.Cleanup(stop)
	r := &replica{
		PlacementServiceClient: placementv1.NewPlacementServiceClient(service.Server().InProcess()),
		members:                placementv1.NewMembershipServiceClient(service.Server().InProcess()),
		service:                service, stop: stop,
	}
	eventually(t, "the replica answers", func() error {
		_, err := r.members.GetCluster(t.Context(), &placementv1.GetClusterRequest{})
		return err
	})
	return r
}

// eventually tries until there is no error.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
}

// nodes makes nodes with one disk each: counts[z] in zone z.
func nodes(counts ...int) []*placementv1.Node {
	var all []*placementv1.Node
	for z, count := range counts {
		for i := range count {
			name := fmt.Sprintf("z%d-n%d", z, i)
			all = append(all, &placementv1.Node{
				Place:   &typesv1.Place{Zone: fmt.Sprintf("z%d", z), Rack: "r", Node: name},
				Address: name + ":7000",
				Disks: []*placementv1.Disk{{
					Id: name + "-d0", Path: "/data", State: placementv1.DiskState_DISK_STATE_OK,
					CapacityBytes: 1 << 40, FreeBytes: 1 << 39,
				}},
			})
		}
	}
	return all
}

// register enters nodes at one replica.
func (r *replica) register(t *testing.T, all ...*placementv1.Node) {
	t.Helper()
	for _, n := range all {
		if _, err := r.members.RegisterNode(t.Context(), &placementv1.RegisterNodeRequest{Node: n}); err != nil {
			t.Fatal(err)
		}
	}
}

// beat sends one heartbeat of each node, once the replica knows the node.
func (r *replica) beat(t *testing.T, all ...*placementv1.Node) {
	t.Helper()
	for _, n := range all {
		eventually(t, "heartbeat", func() error {
			_, err := r.members.Heartbeat(t.Context(), &placementv1.HeartbeatRequest{
				Node: n.GetPlace().GetNode(), Run: "run", Disks: n.GetDisks(),
			})
			return err
		})
	}
}

// fail tells replicas that the disks of nodes are broken.
func fail(t *testing.T, all []*placementv1.Node, replicas ...*replica) {
	t.Helper()
	for _, n := range all {
		n.Disks[0].State = placementv1.DiskState_DISK_STATE_FAILED
	}
	for _, r := range replicas {
		r.beat(t, all...)
	}
}

func (r *replica) term(t *testing.T, writer string) uint64 {
	t.Helper()
	term, err := r.StartTerm(t.Context(), &placementv1.StartTermRequest{Writer: writer})
	if err != nil {
		t.Fatal(err)
	}
	return term.GetTerm()
}

func scheme(t *testing.T, text string) *typesv1.Scheme {
	t.Helper()
	s, err := erasure.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s.Proto()
}

func (r *replica) open(
	t *testing.T, writer string, term uint64, wanted string, exclude ...string,
) (*placementv1.Volume, error) {
	t.Helper()
	answer, err := r.OpenVolume(t.Context(), &placementv1.OpenVolumeRequest{
		Writer: writer, Term: term, VolumeClass: typesv1.VolumeClass_VOLUME_CLASS_STREAM,
		Scheme: scheme(t, wanted), ExcludeDisks: exclude,
	})
	return answer.GetVolume(), err
}

func wantReason(t *testing.T, err error, want typesv1.Reason) {
	t.Helper()
	if got := fault.Reason(err); got != want {
		t.Errorf("error %v has reason %v, want %v", err, got, want)
	}
}
