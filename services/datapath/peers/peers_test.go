package peers

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/datapath/nodes"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/rpc"
)

// reader serves ReadChunk as told.
type reader struct {
	chunkv1.UnimplementedChunkServiceServer
	answer func(ctx context.Context, r *chunkv1.ReadChunkRequest) *chunkv1.ReadChunkResponse
}

func (s *reader) ReadChunk(ctx context.Context, r *chunkv1.ReadChunkRequest) (*chunkv1.ReadChunkResponse, error) {
	return s.answer(ctx, r), nil
}

// here is a topology of one node.
type here struct{ snapshot *nodes.Snapshot }

func (h here) Snapshot() *nodes.Snapshot { return h.snapshot }

// serve makes Peers of one node "n" that is where the node says.
func serve(t *testing.T, registry *rpc.Registry, node *placementv1.Node, bootID string) *Peers {
	t.Helper()
	node.Place = &typesv1.Place{Node: "n"}
	p, err := New(Options{
		Topology: here{nodes.NewSnapshot(&placementv1.Topology{Nodes: []*placementv1.Node{node}})},
		Dialer:   rpc.NewDialer(rpc.DialerOptions{Registry: registry}), Log: slog.New(slog.DiscardHandler), BootID: bootID,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = p.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return p
}

func TestRead(t *testing.T) {
	stored := make([]byte, 40000)
	for i := range stored {
		stored[i] = byte(rand.Uint32() | 1)
	}
	good := func(ctx context.Context, r *chunkv1.ReadChunkRequest) *chunkv1.ReadChunkResponse {
		data := rpc.Buffer(ctx)
		if data == nil {
			data = make([]byte, len(stored))
		}
		data = data[:copy(data[:min(len(data), int(r.GetRows()))], stored[r.GetRow():])]
		// Pieces as a chunk-server cuts them: a short first one, then granules.
		const head, granule = 1000, 8192
		crcs := block.Checksums(data[:head], 16)
		return &chunkv1.ReadChunkResponse{Head: head, Granule: granule, Crcs: append(crcs, block.Checksums(data[head:], 13)...), Data: data}
	}
	without := func(change func(*chunkv1.ReadChunkResponse)) func(context.Context, *chunkv1.ReadChunkRequest) *chunkv1.ReadChunkResponse {
		return func(_ context.Context, r *chunkv1.ReadChunkRequest) *chunkv1.ReadChunkResponse {
			answer := good(context.Background(), r)
			answer.Data = bytes.Clone(answer.GetData())
			change(answer)
			return answer
		}
	}
	const room = 3000 // of the lent buffer's capacity, beyond its length
	at := func(offset int) func(context.Context, *chunkv1.ReadChunkRequest) *chunkv1.ReadChunkResponse {
		return func(ctx context.Context, r *chunkv1.ReadChunkRequest) *chunkv1.ReadChunkResponse {
			answer := good(ctx, r)
			if lent := rpc.Buffer(ctx); lent != nil {
				moved := lent[offset : offset+len(answer.GetData()) : cap(lent)]
				copy(moved, answer.GetData())
				answer.Data = moved
			}
			return answer
		}
	}
	cases := []struct {
		name   string
		answer func(context.Context, *chunkv1.ReadChunkRequest) *chunkv1.ReadChunkResponse
		ok     bool
	}{
		{"good", good, true},
		{"not into the lent buffer", without(func(*chunkv1.ReadChunkResponse) {}), true},
		{"not where the lent buffer begins", at(room - 1), true},
		{"so far back in it that the zeros have no room", at(room + 1), true},
		{"nothing stored", func(context.Context, *chunkv1.ReadChunkRequest) *chunkv1.ReadChunkResponse {
			return &chunkv1.ReadChunkResponse{}
		}, false},
		{"a bit is wrong", without(func(r *chunkv1.ReadChunkResponse) { r.Data[30000] ^= 4 }), false},
		{"a checksum is missing", without(func(r *chunkv1.ReadChunkResponse) { r.Crcs = r.GetCrcs()[:2] }), false},
		{"a checksum too many", without(func(r *chunkv1.ReadChunkResponse) { r.Crcs = append(r.GetCrcs(), 1) }), false},
		{"no granule", without(func(r *chunkv1.ReadChunkResponse) { r.Granule = 0 }), false},
		{"no pieces at all", without(func(r *chunkv1.ReadChunkResponse) { r.Crcs, r.Head = nil, 0 }), false},
		{"too many bytes", without(func(r *chunkv1.ReadChunkResponse) {
			r.Data = make([]byte, 70000)
			r.Head, r.Crcs = 0, block.Checksums(r.GetData(), 13)
		}), false},
	}
	for _, transport := range []string{"in process", "tcp", "unix"} {
		for _, tc := range cases {
			t.Run(transport+"/"+tc.name, func(t *testing.T) {
				server := rpc.NewServer(rpc.ServerOptions{})
				chunkv1.RegisterChunkServiceServer(server, &reader{answer: tc.answer})
				registry := rpc.NewRegistry()
				registry.Register("n", server)
				p := serve(t, registry, listen(t, transport, server), "boot")
				dst := bytes.Repeat([]byte{0xee}, 60000+room)[:60000]
				rows, err := p.Read(t.Context(), &placementv1.Member{Node: "n"}, &chunkv1.ChunkRef{}, 0, dst)
				if tc.name == "nothing stored" {
					if err != nil || !bytes.Equal(rows, make([]byte, len(dst))) {
						t.Errorf("rows of zeros: %v", err)
					}
					return
				}
				if tc.ok != (err == nil) || err != nil && !fault.Is(err, typesv1.Reason_REASON_CHUNK_CORRUPT) {
					t.Fatalf("read: %v", err)
				}
				if tc.ok && (!bytes.Equal(rows[:len(stored)], stored) || !bytes.Equal(rows[len(stored):], make([]byte, 20000))) {
					t.Error("the bytes are not those that are stored, and zeros")
				}
			})
		}
	}
}

// listen serves on a transport and says where.
func listen(t *testing.T, transport string, server *rpc.Server) *placementv1.Node {
	t.Helper()
	if transport == "in process" {
		return &placementv1.Node{Address: "inproc:n"}
	}
	var node placementv1.Node
	var l net.Listener
	var err error
	if transport == "tcp" {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	} else {
		l, err = net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	}
	if err != nil {
		t.Fatal(err)
	}
	if transport == "tcp" {
		node.Address = l.Addr().String()
	} else {
		node.Address, node.Socket, node.BootId = "127.0.0.1:1", l.Addr().String(), "boot"
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(ctx, l) })
	t.Cleanup(func() { cancel(); serving.Wait() })
	return &node
}

func TestChooseTarget(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const address = "10.0.0.1:9000"
	cases := []struct {
		name string
		node *placementv1.Node
		boot string
		want string
	}{
		{"in process", &placementv1.Node{Address: "inproc:x", Socket: socket, BootId: "b"}, "b", "inproc:x"},
		{"same host", &placementv1.Node{Address: address, Socket: socket, BootId: "b"}, "b", "unix:" + socket},
		{"another host", &placementv1.Node{Address: address, Socket: socket, BootId: "c"}, "b", address},
		{"another file system", &placementv1.Node{Address: address, Socket: socket + "x", BootId: "b"}, "b", address},
		{"no socket there", &placementv1.Node{Address: address, Socket: file, BootId: "b"}, "b", address},
		{"no boot id", &placementv1.Node{Address: address, Socket: socket}, "", address},
		{"no socket", &placementv1.Node{Address: address, BootId: "b"}, "b", address},
	}
	for _, tc := range cases {
		if got := chooseTarget(tc.node, tc.boot); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

// TestNodeMoves gives a node another address while a stream is open.
func TestNodeMoves(t *testing.T) {
	registry := rpc.NewRegistry()
	for _, name := range []string{"old", "new"} {
		server := rpc.NewServer(rpc.ServerOptions{})
		chunkv1.RegisterChunkServiceServer(server, &reader{answer: func(context.Context, *chunkv1.ReadChunkRequest) *chunkv1.ReadChunkResponse {
			data := []byte(name)
			return &chunkv1.ReadChunkResponse{Granule: 4096, Crcs: block.Checksums(data, 12), Data: data}
		}})
		registry.Register(name, server)
	}
	p := serve(t, registry, &placementv1.Node{Address: "inproc:old"}, "")
	read := func() string {
		dst := make([]byte, 3)
		if _, err := p.Read(t.Context(), &placementv1.Member{Node: "n"}, &chunkv1.ChunkRef{}, 0, dst); err != nil {
			t.Fatal(err)
		}
		return string(dst)
	}
	if got := read(); got != "old" {
		t.Errorf("read from %q", got)
	}
	p.topology = here{nodes.NewSnapshot(&placementv1.Topology{Nodes: []*placementv1.Node{
		{Place: &typesv1.Place{Node: "n"}, Address: "inproc:new"},
	}})}
	if got := read(); got != "new" {
		t.Errorf("read from %q after the move", got)
	}
	p.topology = here{nodes.NewSnapshot(&placementv1.Topology{})}
	if got := read(); got != "new" {
		t.Errorf("read from %q after the node left the topology", got)
	}
}

func TestLatency(t *testing.T) {
	var l Latency
	if l.Median() != 0 {
		t.Error("a median of nothing")
	}
	l.Observe(3 * time.Millisecond)
	if l.Median() != 3*time.Millisecond {
		t.Errorf("after one: %v", l.Median())
	}
	for range latencySamples {
		l.Observe(time.Millisecond)
	}
	for range latencySamples / 4 {
		l.Observe(time.Second) // a few slow ones do not move it
	}
	if l.Median() != time.Millisecond {
		t.Errorf("with a quarter of outliers: %v", l.Median())
	}
	for range latencySamples {
		l.Observe(2 * time.Millisecond)
	}
	if l.Median() != 2*time.Millisecond {
		t.Errorf("after a change: %v", l.Median())
	}
}
