package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"testing"
	"unsafe"

	"google.golang.org/grpc"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/rpc"
)

func bulk() rpc.BulkFields {
	return rpc.BulkFields{"drystone.chunk.v1.AppendRequest": 15, "drystone.chunk.v1.ReadChunkResponse": 15}
}

// chunks keeps the rows that were appended last and answers reads from them.
type chunks struct {
	chunkv1.UnimplementedChunkServiceServer
	data []byte
}

func (c *chunks) ReadChunk(_ context.Context, req *chunkv1.ReadChunkRequest) (*chunkv1.ReadChunkResponse, error) {
	return &chunkv1.ReadChunkResponse{Crcs: []uint32{1}, Granule: 1 << 16, Data: c.data[:req.GetRows()]}, nil
}

// Append answers whether the data are all the byte that the row says.
func (c *chunks) Append(st grpc.BidiStreamingServer[chunkv1.AppendRequest, chunkv1.AppendResponse]) error {
	for {
		req, err := st.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		resp := &chunkv1.AppendResponse{RequestId: req.GetRequestId()}
		if bytes.Count(req.GetData(), []byte{byte(req.GetRow())}) != int(req.GetRows()) {
			resp.Code, resp.Reason, resp.Message = fault.ToWire(fault.Bug("wrong bytes"))
		}
		if err := st.Send(resp); err != nil {
			return err
		}
	}
}

// Each side may use the codec or not; nobody sees a difference, and buffers are free again with the answer.
func TestBulkFieldsAreCompatible(t *testing.T) {
	for _, tt := range []struct {
		name           string
		server, client rpc.BulkFields
	}{
		{"neither", nil, nil}, {"server", bulk(), nil}, {"client", nil, bulk()}, {"both", bulk(), bulk()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := rpc.NewServer(rpc.ServerOptions{Bulk: tt.server})
			chunkv1.RegisterChunkServiceServer(s, &chunks{data: bytes.Repeat([]byte("d"), 1<<20)})
			address := serve(t, s, "unix", filepath.Join(t.TempDir(), "s"))
			c := chunkv1.NewChunkServiceClient(dial(t, rpc.DialerOptions{}, "unix:"+address, rpc.ConnOptions{Bulk: tt.client}))
			t.Run("append", func(t *testing.T) { appendFrames(t, c) })
			t.Run("read", func(t *testing.T) {
				buffer := make([]byte, 1<<20)
				resp, err := c.ReadChunk(rpc.WithBuffer(t.Context(), buffer), &chunkv1.ReadChunkRequest{Rows: 1 << 20})
				if err != nil {
					t.Fatal(err)
				}
				if bytes.Count(resp.GetData(), []byte("d")) != 1<<20 || resp.GetGranule() != 1<<16 {
					t.Error("the response differs")
				}
				if got := unsafe.SliceData(resp.GetData()) == unsafe.SliceData(buffer); got != (tt.client != nil) {
					t.Errorf("received into the lent buffer: %v", got)
				}
			})
		})
	}
}

// appendFrames keeps four frames on their way and fills a buffer anew as soon as its frame is answered.
func appendFrames(t *testing.T, c chunkv1.ChunkServiceClient) {
	const frames, window, size = 64, 4, 256 << 10
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	st, err := c.Append(ctx)
	if err != nil {
		t.Fatal(err)
	}
	free := make(chan []byte, window)
	for range window {
		free <- make([]byte, size)
	}
	inUse := make(chan []byte, window)
	sent := make(chan error, 1)
	go func() {
		for i := range frames {
			buffer := <-free
			for j := range buffer {
				buffer[j] = byte(i)
			}
			inUse <- buffer
			if err := st.Send(&chunkv1.AppendRequest{RequestId: uint64(i), Row: uint64(i), Rows: size, Data: buffer}); err != nil {
				sent <- err
				return
			}
		}
		sent <- st.CloseSend()
	}()
	for i := range frames {
		resp, err := st.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if resp.GetRequestId() != uint64(i) || resp.GetCode() != 0 {
			t.Fatalf("frame %d: %v", i, resp)
		}
		free <- <-inUse
	}
	if _, err := st.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("end: %v", err)
	}
	if err := <-sent; err != nil {
		t.Errorf("send: %v", err)
	}
}
