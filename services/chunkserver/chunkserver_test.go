package chunkserver

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/kit/app"
	"github.com/drystone-store/drystone/services/kit/config"
	"github.com/drystone-store/drystone/services/kit/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// placement is a replica that remembers nodes.
type placement struct {
	placementv1.UnimplementedMembershipServiceServer

	mu    sync.Mutex
	nodes map[string]*placementv1.Node
	beats chan string
}

func (p *placement) GetCluster(context.Context, *placementv1.GetClusterRequest) (*placementv1.GetClusterResponse, error) {
	return &placementv1.GetClusterResponse{ClusterId: "cluster-1"}, nil
}

func (p *placement) RegisterNode(_ context.Context, req *placementv1.RegisterNodeRequest) (*placementv1.RegisterNodeResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nodes[req.GetNode().GetPlace().GetNode()] = req.GetNode()
	return &placementv1.RegisterNodeResponse{ClusterId: "cluster-1", HeartbeatMs: 50}, nil
}

func (p *placement) Heartbeat(_ context.Context, req *placementv1.HeartbeatRequest) (*placementv1.HeartbeatResponse, error) {
	select {
	case p.beats <- req.GetNode():
	default:
	}
	return &placementv1.HeartbeatResponse{}, nil
}

func (p *placement) node(name string) *placementv1.Node {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.nodes[name]
}

// mesh is an environment with a placement replica in the same process.
func mesh(t *testing.T) (app.Env, *placement) {
	t.Helper()
	registry := rpc.NewRegistry()
	p := &placement{nodes: map[string]*placementv1.Node{}, beats: make(chan string, 1)}
	server := rpc.NewServer(rpc.ServerOptions{Name: "placement"})
	placementv1.RegisterMembershipServiceServer(server, p)
	registry.Register("placement", server)
	return app.Env{
		Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Registry: registry,
		Dialer: rpc.NewDialer(rpc.DialerOptions{Registry: registry}),
	}, p
}

// start runs a service until the answer is called.
func start(t *testing.T, cfg Config, env app.Env) (stop func()) {
	t.Helper()
	s, err := New(cfg, env)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	return sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
}

func example(t *testing.T) Config {
	t.Helper()
	dir := t.TempDir()
	return Config{
		Name: "node-1", Place: Place{Zone: "z1", Rack: "r1"}, Placement: []string{"inproc:placement"},
		Disks: []string{filepath.Join(dir, "a"), filepath.Join(dir, "b")},
	}
}

// TestServesAndRestarts: disks are made, the node is known, bytes survive a restart, in process and over its sockets.
func TestServesAndRestarts(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"in process": func(*Config) {},
		"tcp":        func(c *Config) { c.Listen = "127.0.0.1:0" },
		"unix socket": func(c *Config) {
			c.Listen, c.Socket = "127.0.0.1:0", filepath.Join(filepath.Dir(c.Disks[0]), "s")
		},
	} {
		t.Run(name, func(t *testing.T) {
			env, p := mesh(t)
			cfg := example(t)
			change(&cfg)
			data := bytes.Repeat([]byte("stone"), 2000)
			var refs []*chunkv1.ChunkRef
			for round := range 2 {
				stop := start(t, cfg, env)
				defer stop()
				client, hangUp := dial(t, env, p)
				if round == 0 {
					refs = write(t, client, p.node("node-1"), data)
				}
				for _, ref := range refs {
					answer, err := client.ReadChunk(t.Context(), &chunkv1.ReadChunkRequest{Chunk: ref, Rows: uint32(len(data))})
					if err != nil || !bytes.Equal(answer.GetData(), data) {
						t.Fatalf("round %d: %v", round, err)
					}
				}
				hangUp()
				stop()
			}
		})
	}
}

// dial waits until the node is known and reaches it as a peer does.
func dial(t *testing.T, env app.Env, p *placement) (client chunkv1.ChunkServiceClient, hangUp func()) {
	t.Helper()
	var node *placementv1.Node
	for timeout := time.After(10 * time.Second); node == nil; node = p.node("node-1") {
		select {
		case <-p.beats: // the first may be of the run before
		case <-timeout:
			t.Fatal("no heartbeat")
		}
	}
	target := node.GetAddress()
	if node.GetSocket() != "" {
		if node.GetBootId() == "" {
			t.Error("a socket without the host's boot id")
		}
		target = "unix:" + node.GetSocket()
	}
	conn, err := env.Dialer.Dial(target, rpc.ConnOptions{Peer: "node-1"})
	if err != nil {
		t.Fatal(err)
	}
	return chunkv1.NewChunkServiceClient(conn), func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		clear(p.nodes)
	}
}

// write makes a chunk with data on each disk.
func write(t *testing.T, client chunkv1.ChunkServiceClient, node *placementv1.Node, data []byte) []*chunkv1.ChunkRef {
	t.Helper()
	if len(node.GetDisks()) != 2 || node.GetPlace().GetZone() != "z1" {
		t.Fatalf("registered as %v", node)
	}
	stream, err := client.Append(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var refs []*chunkv1.ChunkRef
	for i, d := range node.GetDisks() {
		if d.GetState() != placementv1.DiskState_DISK_STATE_OK || d.GetFreeBytes() == 0 {
			t.Errorf("disk %v", d)
		}
		ref := &chunkv1.ChunkRef{Volume: uint64(i + 1), Generation: 1, Disk: d.GetId()}
		_, err := client.CreateChunk(t.Context(), &chunkv1.CreateChunkRequest{
			Chunk: ref, ClusterId: "cluster-1", Writer: "w", K: 1, M: 1, Capacity: 1 << 20,
		})
		if err != nil {
			t.Fatal(err)
		}
		err = stream.Send(&chunkv1.AppendRequest{
			Chunk: ref, Rows: uint32(len(data)), GranuleLog2: 16, Crcs: []uint32{format.Checksum(data)}, Data: data,
		})
		answer, recvErr := stream.Recv()
		if err = errors.Join(err, recvErr); err != nil || answer.GetCode() != 0 {
			t.Fatal(answer, err)
		}
		refs = append(refs, ref)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	_, _ = stream.Recv()
	return refs
}

// TestManyNodesInOneProcess share metrics and the registry.
func TestManyNodesInOneProcess(t *testing.T) {
	env, p := mesh(t)
	for _, name := range []string{"node-1", "node-2", "node-3"} {
		cfg := example(t)
		cfg.Name = name
		defer start(t, cfg, env)()
	}
	seen := map[string]bool{}
	timeout := time.After(10 * time.Second)
	for len(seen) < 3 {
		select {
		case name := <-p.beats:
			seen[name] = true
		case <-timeout:
			t.Fatalf("heartbeats of %v only", seen)
		}
	}
	families, err := env.Metrics.(*prometheus.Registry).Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "drystone_chunkserver_disk_state" && len(f.GetMetric()) != 6 {
			t.Errorf("%d disks have metrics, want 6", len(f.GetMetric()))
		}
	}
}

func TestRunRefusesADiskInUse(t *testing.T) {
	env, p := mesh(t)
	cfg := example(t)
	defer start(t, cfg, env)()
	<-p.beats
	again, err := New(cfg, env)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Run(t.Context()); err == nil {
		t.Error("two services on the same disks")
	}
}

func TestConfig(t *testing.T) {
	good := `
name: node-1
listen: 127.0.0.1:7000
socket: /run/drystone/node-1.sock
advertise: node-1.example:7000
place: {zone: z1, rack: r1}
disks: [/data/a, /data/b]
placement: [placement-1:7100, placement-2:7100]
scrub: {interval: 48h, rate: 10MiB}
`
	var c Config
	if err := config.Parse([]byte(good), &c); err != nil {
		t.Fatal(err)
	}
	if c.Scrub.Interval != 48*time.Hour || c.Scrub.Rate != 10<<20 || c.Place.Rack != "r1" || len(c.Disks) != 2 {
		t.Errorf("%+v", c)
	}
	for name, bad := range map[string]Config{
		"nothing":      {},
		"disk twice":   {Name: "n", Place: Place{Zone: "z"}, Placement: []string{"p"}, Disks: []string{"/a", "/a/"}},
		"bad address":  {Name: "n", Place: Place{Zone: "z"}, Placement: []string{"p"}, Disks: []string{"/a"}, Listen: "7000"},
		"socket alone": {Name: "n", Place: Place{Zone: "z"}, Placement: []string{"p"}, Disks: []string{"/a"}, Socket: "/s"},
	} {
		t.Run(name, func(t *testing.T) {
			if bad.Validate() == nil {
				t.Error("accepted")
			}
		})
	}
}

// TestFoldersAreMade: a newcomer's first start needs no preparation.
func TestFoldersAreMade(t *testing.T) {
	env, p := mesh(t)
	cfg := example(t)
	cfg.Disks = []string{filepath.Join(t.TempDir(), "deep", "er", "disk")}
	stop := start(t, cfg, env)
	<-p.beats
	stop()
	if _, err := os.Stat(filepath.Join(cfg.Disks[0], "disk.json")); err != nil {
		t.Error(err)
	}
}
