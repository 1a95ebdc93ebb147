package rpc_test

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	"github.com/drystone-store/drystone/services/kit/rpc"
	"github.com/drystone-store/drystone/services/kit/telemetry"
)

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
		begin := cpuTime(b)
		for b.Loop() {
			if _, err := client.ReadChunk(ctx, req); err != nil {
				b.Fatal(err)
			}
		}
		reportCPU(b, begin)
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

// BenchmarkBulk moves 1 MiB a call over a unix socket, with gRPC's codec and with ours.
func BenchmarkBulk(b *testing.B) {
	const size = 1 << 20
	for _, fields := range []struct {
		name string
		bulk rpc.BulkFields
	}{{"grpc", nil}, {"bulk", bulk()}} {
		connect := func(b *testing.B) chunkv1.ChunkServiceClient {
			s := rpc.NewServer(rpc.ServerOptions{Bulk: fields.bulk})
			chunkv1.RegisterChunkServiceServer(s, &chunks{data: make([]byte, size)})
			address := serve(b, s, "unix", filepath.Join(b.TempDir(), "s"))
			return chunkv1.NewChunkServiceClient(dial(b, rpc.DialerOptions{}, "unix:"+address, rpc.ConnOptions{Bulk: fields.bulk}))
		}
		b.Run("read/"+fields.name, func(b *testing.B) {
			c := connect(b)
			ctx := rpc.WithBuffer(b.Context(), make([]byte, size))
			reportBulk(b, size, func() error {
				_, err := c.ReadChunk(ctx, &chunkv1.ReadChunkRequest{Rows: size})
				return err
			})
		})
		b.Run("append/"+fields.name, func(b *testing.B) {
			st, err := connect(b).Append(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			data := make([]byte, size)
			reportBulk(b, size, func() error {
				if err := st.Send(&chunkv1.AppendRequest{Rows: size, Data: data}); err != nil {
					return err
				}
				_, err := st.Recv()
				return err
			})
			if err := st.CloseSend(); err != nil {
				b.Fatal(err)
			}
			if _, err := st.Recv(); !errors.Is(err, io.EOF) {
				b.Fatal(err)
			}
		})
	}
}

// reportBulk adds the CPU time of the whole process: client, server and kernel.
func reportBulk(b *testing.B, size int64, call func() error) {
	b.SetBytes(size)
	b.ReportAllocs()
	begin := cpuTime(b)
	for b.Loop() {
		if err := call(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric((cpuTime(b)-begin)/(float64(b.N)*float64(size)/(1<<30)), "cpu-s/GiB")
}

// reportCPU adds what the whole process spent a call: on a shared machine the time that passed says little.
func reportCPU(b *testing.B, begin float64) {
	b.Helper()
	b.ReportMetric((cpuTime(b)-begin)*1e9/float64(b.N), "cpu-ns/op")
}

// cpuTime is the CPU time of the process so far, in seconds.
func cpuTime(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// BenchmarkStream hands one message over in process: two goroutines take turns.
func BenchmarkStream(b *testing.B) {
	s := rpc.NewServer(rpc.ServerOptions{})
	testpb.RegisterTestServiceServer(s, &service{upload: func(st uploadStream) error {
		for {
			if _, err := st.Recv(); errors.Is(err, io.EOF) {
				return st.SendAndClose(&testpb.StreamingInputCallResponse{})
			} else if err != nil {
				return err
			}
		}
	}})
	up, err := testpb.NewTestServiceClient(s.InProcess()).StreamingInputCall(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	req := &testpb.StreamingInputCallRequest{Payload: payload(make([]byte, 256<<10))}
	b.ReportAllocs()
	begin := cpuTime(b)
	for b.Loop() {
		if err := up.Send(req); err != nil {
			b.Fatal(err)
		}
	}
	reportCPU(b, begin)
	if _, err := up.CloseAndRecv(); err != nil {
		b.Fatal(err)
	}
}
