package rpc_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	"github.com/drystone-store/drystone/services/kit/rpc"
	"github.com/drystone-store/drystone/services/kit/telemetry"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
)

// chunks answers reads from memory.
type chunks struct {
	chunkv1.UnimplementedChunkServiceServer
	data []byte
}

func (c *chunks) ReadChunk(_ context.Context, req *chunkv1.ReadChunkRequest) (*chunkv1.ReadChunkResponse, error) {
	return &chunkv1.ReadChunkResponse{Crcs: []uint32{1}, Granule: 1 << 16, Data: c.data[:req.GetRows()]}, nil
}

func benchServer(b *testing.B, tracing *telemetry.Tracing) *rpc.Server {
	b.Helper()
	s := rpc.NewServer(rpc.ServerOptions{Name: "bench", Metrics: prometheus.NewRegistry(), Tracer: tracing})
	chunkv1.RegisterChunkServiceServer(s, &chunks{data: make([]byte, 1<<20)})
	return s
}

func BenchmarkUnary(b *testing.B) {
	tracing, err := telemetry.NewTracing("bench", 0)
	if err != nil {
		b.Fatal(err)
	}
	read := func(b *testing.B, ctx context.Context, conn grpc.ClientConnInterface) {
		client := chunkv1.NewChunkServiceClient(conn)
		req := &chunkv1.ReadChunkRequest{Chunk: &chunkv1.ChunkRef{Volume: 1, Disk: "d"}, Row: 4096, Rows: 4096}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := client.ReadChunk(ctx, req); err != nil {
				b.Fatal(err)
			}
		}
	}
	deadline, cancel := context.WithTimeout(b.Context(), time.Hour)
	defer cancel()
	mesh := func(b *testing.B) grpc.ClientConnInterface {
		registry := rpc.NewRegistry()
		registry.Register("bench", benchServer(b, tracing))
		return dial(b, rpc.DialerOptions{Registry: registry, Metrics: prometheus.NewRegistry(), Tracer: tracing, Caller: "bench"}, "inproc:bench", rpc.ConnOptions{})
	}
	b.Run("in process", func(b *testing.B) { read(b, deadline, benchServer(b, tracing).InProcess()) })
	b.Run("mesh in process", func(b *testing.B) { read(b, deadline, mesh(b)) })
	b.Run("mesh in process without deadline", func(b *testing.B) { read(b, b.Context(), mesh(b)) })
	b.Run("mesh over unix", func(b *testing.B) {
		address := serve(b, benchServer(b, tracing), "unix", filepath.Join(b.TempDir(), "s"))
		read(b, deadline, dial(b, rpc.DialerOptions{Metrics: prometheus.NewRegistry(), Tracer: tracing}, "unix:"+address, rpc.ConnOptions{}))
	})
}
