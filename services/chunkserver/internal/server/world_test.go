package server

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/chunkserver/internal/node"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs/crashfs"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testCluster = "cluster-1"

// world is a node of two disks behind a server.
type world struct {
	client chunkv1.ChunkServiceClient
	server *rpc.Server
	disks  []string
}

// inProcess is a world that is reached without a network.
func inProcess(t testing.TB, fs vfs.FS) *world {
	t.Helper()
	w := newWorld(t, fs)
	w.client = chunkv1.NewChunkServiceClient(w.server.InProcess())
	return w
}

func newWorld(t testing.TB, fs vfs.FS) *world {
	t.Helper()
	n, err := node.New(node.Options{FS: fs, Name: "node-1", Paths: []string{"/a", "/b"}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Open(); err != nil {
		t.Fatal(err)
	}
	if err := n.Format(testCluster); err != nil {
		t.Fatal(err)
	}
	handlers := New(n)
	w := &world{server: rpc.NewServer(rpc.ServerOptions{Name: "node-1", Grace: time.Second})}
	chunkv1.RegisterChunkServiceServer(w.server, handlers)
	for _, d := range n.Disks() {
		w.disks = append(w.disks, d.ID())
	}
	t.Cleanup(func() {
		if err := n.Close(context.Background()); err != nil {
			t.Error(err)
		}
		handlers.Wait()
	})
	return w
}

// overUnix is a world that is reached through a unix socket.
func overUnix(t testing.TB, fs vfs.FS) *world {
	t.Helper()
	w := newWorld(t, fs)
	target := "unix:" + filepath.Join(t.TempDir(), "s")
	listener, err := rpc.Listen(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := w.server.Serve(ctx, listener); err != nil {
			t.Error(err)
		}
	})
	conn, err := rpc.NewDialer(rpc.DialerOptions{}).Dial(target, rpc.ConnOptions{Peer: "node-1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		cancel()
		serving.Wait()
	})
	w.client = chunkv1.NewChunkServiceClient(conn)
	return w
}

// everywhere runs a test over both transports.
func everywhere(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	t.Run("in process", func(t *testing.T) { test(t, inProcess(t, crashfs.New())) })
	t.Run("over a socket", func(t *testing.T) { test(t, overUnix(t, crashfs.New())) })
}

func (w *world) ref(volume uint64) *chunkv1.ChunkRef {
	return &chunkv1.ChunkRef{Volume: volume, Generation: 1, Column: 2, Disk: w.disks[volume%2]}
}

func (w *world) creation(volume uint64) *chunkv1.CreateChunkRequest {
	return &chunkv1.CreateChunkRequest{
		Chunk: w.ref(volume), ClusterId: testCluster, Writer: "writer-1", Term: 3, K: 2, M: 1, Capacity: 8 << 20,
	}
}

func (w *world) mustCreate(t testing.TB, volumes ...uint64) {
	t.Helper()
	for _, v := range volumes {
		if _, err := w.client.CreateChunk(t.Context(), w.creation(v)); err != nil {
			t.Fatal(err)
		}
	}
}

func random(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32()) | 1
	}
	return b
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 42)) }

// frame is an append of data under checksums of 4 KiB.
func (w *world) frame(volume, row uint64, data []byte) *chunkv1.AppendRequest {
	req := &chunkv1.AppendRequest{
		RequestId: row, Chunk: w.ref(volume), Row: row, Rows: uint32(len(data)), GranuleLog2: 12, Data: data,
	}
	for at := 0; at < len(data); at += 4096 {
		req.Crcs = append(req.Crcs, format.Checksum(data[at:min(at+4096, len(data))]))
	}
	return req
}

// stream is an open append stream.
type stream struct {
	grpc.BidiStreamingClient[chunkv1.AppendRequest, chunkv1.AppendResponse]
}

func (w *world) open(t testing.TB) stream {
	t.Helper()
	s, err := w.client.Append(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return stream{s}
}

func (s stream) mustSend(t testing.TB, req *chunkv1.AppendRequest) {
	t.Helper()
	if err := s.Send(req); err != nil {
		t.Fatal(err)
	}
}

// next is the next answer, as an error with the request's id.
func (s stream) next(t testing.TB) (uint64, error) {
	t.Helper()
	answer, err := s.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetRequestId(), fault.FromWire(answer.GetCode(), answer.GetReason(), answer.GetMessage())
}

func (s stream) mustAppend(t testing.TB, req *chunkv1.AppendRequest) {
	t.Helper()
	s.mustSend(t, req)
	if id, err := s.next(t); id != req.GetRequestId() || err != nil {
		t.Fatalf("answer to %d: %v", id, err)
	}
}

// close ends the stream in order.
func (s stream) close(t testing.TB) {
	t.Helper()
	if err := s.CloseSend(); err != nil {
		t.Error(err)
	}
	if answer, err := s.Recv(); err == nil {
		t.Errorf("an answer that nobody asked for: %v", answer)
	}
}

func wantReason(t testing.TB, err error, want typesv1.Reason) {
	t.Helper()
	if !fault.Is(err, want) {
		t.Errorf("got %v (%v), want %v", err, fault.Reason(err), want)
	}
}

// verify checks an answer as a reader far away does.
func verify(answer *chunkv1.ReadChunkResponse) error {
	data, size := answer.GetData(), int(answer.GetHead())
	for _, crc := range answer.GetCrcs() {
		n := min(size, len(data))
		if n == 0 || format.Checksum(data[:n]) != crc {
			return fmt.Errorf("a piece of %d bytes does not match", n)
		}
		data, size = data[n:], int(answer.GetGranule())
	}
	if len(data) != 0 {
		return fmt.Errorf("%d bytes are under no checksum", len(data))
	}
	return nil
}
