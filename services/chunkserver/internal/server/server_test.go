package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs/crashfs"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs/faultfs"
	"github.com/drystone-store/drystone/services/kit/rpc"
)

// TestLifeOfAChunk goes through every RPC.
func TestLifeOfAChunk(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.mustCreate(t, 1)
		w.mustCreate(t, 1)
		s := w.open(t)
		data := random(1, 30_000)
		s.mustAppend(t, w.frame(1, 0, data[:10_000]))
		more := w.frame(1, 10_000, data[10_000:])
		more.Continuation, more.SyncedRow, more.Rows = true, 10_000, 40_000
		s.mustAppend(t, more)
		s.close(t)

		read := func(row uint64, rows uint32) []byte {
			t.Helper()
			answer, err := w.client.ReadChunk(ctx, &chunkv1.ReadChunkRequest{Chunk: w.ref(1), Row: row, Rows: rows})
			if err = errors.Join(err, verify(answer)); err != nil {
				t.Fatal(err)
			}
			return answer.GetData()
		}
		if !bytes.Equal(read(5000, 20_000), data[5000:25_000]) || !bytes.Equal(read(29_000, 5000), data[29_000:]) || len(read(40_000, 5)) != 0 {
			t.Error("other bytes")
		}
		_, err := w.client.ReadChunk(ctx, &chunkv1.ReadChunkRequest{Chunk: w.ref(1), Row: 50_000, Rows: 1})
		wantReason(t, err, typesv1.Reason_REASON_RANGE_NOT_SATISFIABLE)

		fenced, err := w.client.FenceChunk(ctx, &chunkv1.FenceChunkRequest{Chunk: w.ref(1)})
		if err != nil || fenced.GetEndRow() != 50_000 || fenced.GetDamaged() {
			t.Errorf("%v, %v", fenced, err)
		}
		if _, err := w.client.SealChunk(ctx, &chunkv1.SealChunkRequest{Chunk: w.ref(1), Length: 50_000}); err != nil {
			t.Error(err)
		}
		_, err = w.client.SealChunk(ctx, &chunkv1.SealChunkRequest{Chunk: w.ref(1), Length: 60_000})
		wantReason(t, err, typesv1.Reason_REASON_ROW_MISMATCH)

		stat, err := w.client.StatChunk(ctx, &chunkv1.StatChunkRequest{Chunk: w.ref(1), Frames: true})
		if err != nil {
			t.Fatal(err)
		}
		info := stat.GetInfo()
		if info.GetState() != chunkv1.ChunkState_CHUNK_STATE_SEALED || info.GetWriter() != "writer-1" || info.GetK() != 2 ||
			info.GetEndRow() != 50_000 || len(stat.GetFrames()) != 2 || !stat.GetFrames()[1].GetContinuation() ||
			stat.GetFrames()[1].GetStored() != 20_000 || stat.GetFrames()[1].GetRows() != 40_000 {
			t.Errorf("%v", stat)
		}
		scrubbed, err := w.client.ScrubChunk(ctx, &chunkv1.ScrubChunkRequest{Chunk: w.ref(1)})
		if err != nil || len(scrubbed.GetDamaged()) != 0 || scrubbed.GetBytesVerified() < 30_000 {
			t.Errorf("%v, %v", scrubbed, err)
		}
	})
}

func TestListChunks(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		w.mustCreate(t, 1, 2, 3, 4, 5)
		list := func(disk string) []uint64 {
			t.Helper()
			s, err := w.client.ListChunks(t.Context(), &chunkv1.ListChunksRequest{Disk: disk})
			if err != nil {
				t.Fatal(err)
			}
			var volumes []uint64
			for {
				page, err := s.Recv()
				if errors.Is(err, io.EOF) {
					return volumes
				}
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range page.GetChunks() {
					volumes = append(volumes, c.GetChunk().GetVolume())
				}
			}
		}
		if diff := cmp.Diff([]uint64{2, 4, 1, 3, 5}, list("")); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]uint64{1, 3, 5}, list(w.disks[1])); diff != "" {
			t.Error(diff)
		}
	})
}

func TestRequestsAreChecked(t *testing.T) {
	w := inProcess(t, crashfs.New())
	for name, c := range map[string]struct {
		change func(*chunkv1.CreateChunkRequest)
		want   typesv1.Reason
	}{
		"no chunk":        {func(r *chunkv1.CreateChunkRequest) { r.Chunk = nil }, typesv1.Reason_REASON_INVALID_ARGUMENT},
		"no volume":       {func(r *chunkv1.CreateChunkRequest) { r.Chunk.Volume = 0 }, typesv1.Reason_REASON_INVALID_ARGUMENT},
		"no cluster":      {func(r *chunkv1.CreateChunkRequest) { r.ClusterId = "" }, typesv1.Reason_REASON_INVALID_ARGUMENT},
		"no writer":       {func(r *chunkv1.CreateChunkRequest) { r.Writer = "" }, typesv1.Reason_REASON_INVALID_ARGUMENT},
		"long writer":     {func(r *chunkv1.CreateChunkRequest) { r.Writer = strings.Repeat("w", 256) }, typesv1.Reason_REASON_INVALID_ARGUMENT},
		"no data columns": {func(r *chunkv1.CreateChunkRequest) { r.K = 0 }, typesv1.Reason_REASON_INVALID_ARGUMENT},
		"too many":        {func(r *chunkv1.CreateChunkRequest) { r.M = 1 << 31 }, typesv1.Reason_REASON_INVALID_ARGUMENT},
		"no such column":  {func(r *chunkv1.CreateChunkRequest) { r.Chunk.Column = 3 }, typesv1.Reason_REASON_INVALID_ARGUMENT},
		"no such disk":    {func(r *chunkv1.CreateChunkRequest) { r.Chunk.Disk = "x" }, typesv1.Reason_REASON_NO_SUCH_DISK},
		"another cluster": {func(r *chunkv1.CreateChunkRequest) { r.ClusterId = "x" }, typesv1.Reason_REASON_CLUSTER_MISMATCH},
	} {
		t.Run(name, func(t *testing.T) {
			req := w.creation(1)
			c.change(req)
			_, err := w.client.CreateChunk(t.Context(), req)
			wantReason(t, err, c.want)
		})
	}
	w.mustCreate(t, 1)
	s := w.open(t)
	defer s.close(t)
	for name, c := range map[string]struct {
		change func(*chunkv1.AppendRequest)
		want   typesv1.Reason
	}{
		"no chunk":        {func(r *chunkv1.AppendRequest) { r.Chunk = nil }, typesv1.Reason_REASON_INVALID_ARGUMENT},
		"another attempt": {func(r *chunkv1.AppendRequest) { r.Chunk.Attempt = 1 }, typesv1.Reason_REASON_CHUNK_STALE},
		"granule 2^268":   {func(r *chunkv1.AppendRequest) { r.GranuleLog2 = 268 }, typesv1.Reason_REASON_INVALID_ARGUMENT},
		"flipped bit":     {func(r *chunkv1.AppendRequest) { r.Data[5] ^= 1 }, typesv1.Reason_REASON_CHUNK_CORRUPT},
		"a gap":           {func(r *chunkv1.AppendRequest) { r.Row = 1 }, typesv1.Reason_REASON_ROW_MISMATCH},
	} {
		t.Run(name, func(t *testing.T) {
			req := w.frame(1, 0, random(1, 100))
			c.change(req)
			s.mustSend(t, req)
			_, err := s.next(t)
			wantReason(t, err, c.want)
		})
	}
}

// TestAnswersOvertake: a chunk whose disk is slow does not hold up the others of the stream, and answers name their
// request.
func TestAnswersOvertake(t *testing.T) {
	release := make(chan struct{})
	var armed atomic.Bool
	fs := faultfs.New(crashfs.New(), func(op faultfs.Op) error {
		if armed.Load() && op.Kind == faultfs.Datasync && strings.HasPrefix(op.Path, "/b/chunks") {
			<-release
		}
		return nil
	})
	w := inProcess(t, fs)
	w.mustCreate(t, 1, 2) // on /b and /a
	armed.Store(true)
	s := w.open(t)
	slow := w.frame(1, 0, random(1, 10))
	slow.RequestId = 77
	s.mustSend(t, slow)
	for row := uint64(0); row < 50; row += 10 {
		s.mustAppend(t, w.frame(2, row, random(row, 10)))
	}
	close(release)
	if id, err := s.next(t); id != 77 || err != nil {
		t.Errorf("answer to %d: %v", id, err)
	}
	s.close(t)
}

// TestManyStreamsAndChunks: pipelined frames of many chunks all arrive, in order within each chunk.
func TestManyStreamsAndChunks(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		const chunks, frames = 8, 100
		var wg sync.WaitGroup
		for v := uint64(1); v <= chunks; v++ {
			w.mustCreate(t, v)
		}
		for half := range uint64(2) {
			wg.Go(func() {
				s := w.open(t)
				var receiving sync.WaitGroup
				receiving.Go(func() {
					for range chunks / 2 * frames {
						if id, err := s.next(t); err != nil {
							t.Errorf("answer to %d: %v", id, err)
							return
						}
					}
				})
				for row := uint64(0); row < frames*100; row += 100 {
					for v := half*chunks/2 + 1; v <= (half+1)*chunks/2; v++ {
						s.mustSend(t, w.frame(v, row, random(v<<32+row, 100)))
					}
				}
				receiving.Wait()
				s.close(t)
			})
		}
		wg.Wait()
		for v := uint64(1); v <= chunks; v++ {
			answer, err := w.client.ReadChunk(t.Context(), &chunkv1.ReadChunkRequest{Chunk: w.ref(v), Rows: frames * 100})
			if err = errors.Join(err, verify(answer)); err != nil {
				t.Fatal(err)
			}
			for row := 0; row < frames*100; row += 100 {
				if !bytes.Equal(answer.GetData()[row:row+100], random(v<<32+uint64(row), 100)) {
					t.Fatalf("volume %d: other bytes at row %d", v, row)
				}
			}
		}
	})
}

// TestReadsIntoLentMemory: in process the bytes go where the reader wants them.
func TestReadsIntoLentMemory(t *testing.T) {
	w := inProcess(t, crashfs.New())
	w.mustCreate(t, 1)
	s := w.open(t)
	data := random(1, 20_000)
	s.mustAppend(t, w.frame(1, 0, data))
	s.close(t)
	for name, c := range map[string]struct{ row, rows, capacity, at int }{
		"whole granules":                       {4096, 8192, 8192, 0},
		"cut granules":                         {100, 9000, 9000, 0},
		"cut granules in memory that has room": {100, 9000, 12288, 100},
	} {
		t.Run(name, func(t *testing.T) {
			dst := make([]byte, c.rows, c.capacity)
			answer, err := w.client.ReadChunk(rpc.WithBuffer(t.Context(), dst),
				&chunkv1.ReadChunkRequest{Chunk: w.ref(1), Row: uint64(c.row), Rows: uint32(c.rows)})
			if err = errors.Join(err, verify(answer)); err != nil {
				t.Fatal(err)
			}
			if &answer.GetData()[0] != &dst[c.at] || !bytes.Equal(answer.GetData(), data[c.row:c.row+c.rows]) {
				t.Error("not read into the lent memory")
			}
		})
	}
}

// TestLostStream: a sender that goes away leaves its frames to be written or not, whole, and its memory alone.
func TestLostStream(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		w.mustCreate(t, 1)
		ctx, cancel := context.WithCancel(t.Context())
		tracked, wait := rpc.TrackHandlers(ctx)
		s, err := w.client.Append(tracked)
		if err != nil {
			t.Fatal(err)
		}
		data := random(1, 10_000)
		for i := range uint64(50) {
			if err := s.Send(w.frame(1, i*10_000, data)); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		wait()
		clear(data) // it is the sender's again
		fenced, err := w.client.FenceChunk(t.Context(), &chunkv1.FenceChunkRequest{Chunk: w.ref(1)})
		if err != nil || fenced.GetEndRow()%10_000 != 0 {
			t.Fatalf("%v, %v", fenced, err)
		}
		scrubbed, err := w.client.ScrubChunk(t.Context(), &chunkv1.ScrubChunkRequest{Chunk: w.ref(1)})
		if err != nil || len(scrubbed.GetDamaged()) != 0 {
			t.Errorf("%v, %v", scrubbed, err)
		}
	})
}

// TestHangingDisk: a change on a disk that does not answer is given up at the deadline, and ends when the disk does.
func TestHangingDisk(t *testing.T) {
	release := make(chan struct{})
	var armed atomic.Bool
	fs := faultfs.New(crashfs.New(), func(op faultfs.Op) error {
		if armed.Load() && op.Kind == faultfs.Datasync {
			<-release
		}
		return nil
	})
	w := inProcess(t, fs)
	w.mustCreate(t, 1)
	armed.Store(true)
	for name, call := range map[string]func(ctx context.Context) error{
		"create": func(ctx context.Context) error { _, err := w.client.CreateChunk(ctx, w.creation(3)); return err },
		"fence": func(ctx context.Context) error {
			_, err := w.client.FenceChunk(ctx, &chunkv1.FenceChunkRequest{Chunk: w.ref(1)})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			wantReason(t, call(ctx), typesv1.Reason_REASON_DEADLINE_EXCEEDED)
		})
	}
	armed.Store(false)
	close(release)
	fenced, err := w.client.FenceChunk(t.Context(), &chunkv1.FenceChunkRequest{Chunk: w.ref(1)})
	if err != nil || fenced.GetEndRow() != 0 {
		t.Errorf("%v, %v", fenced, err)
	}
}

// TestStopEndsStreams: a long-lived stream does not hold up the end; what was taken is answered.
func TestStopEndsStreams(t *testing.T) {
	w := newWorld(t, crashfs.New())
	w.client = chunkv1.NewChunkServiceClient(w.server.InProcess())
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := w.server.Serve(ctx); err != nil {
			t.Error(err)
		}
	})
	w.mustCreate(t, 1)
	s := w.open(t)
	s.mustAppend(t, w.frame(1, 0, random(1, 100)))
	begin := time.Now()
	cancel()
	serving.Wait()
	if took := time.Since(begin); took > 500*time.Millisecond {
		t.Errorf("stopping took %v", took)
	}
	if _, err := s.Recv(); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the stream ended with %v", err)
	}
}

// TestRestartThroughTheAPI: what was acknowledged before a power cut is there after it; the chunk is fenced.
func TestRestartThroughTheAPI(t *testing.T) {
	disk := crashfs.New()
	w := inProcess(t, disk)
	w.mustCreate(t, 1)
	s := w.open(t)
	data := random(1, 20_000)
	s.mustAppend(t, w.frame(1, 0, data))
	after := disk.CrashClone(newRand(3), 0)
	s.close(t)

	again := inProcess(t, vfs.FS(after))
	again.disks = w.disks
	fenced, err := again.client.FenceChunk(t.Context(), &chunkv1.FenceChunkRequest{Chunk: w.ref(1)})
	if err != nil || fenced.GetEndRow() != 20_000 {
		t.Errorf("%v, %v", fenced, err)
	}
	s = again.open(t)
	s.mustSend(t, w.frame(1, 20_000, data))
	_, err = s.next(t)
	wantReason(t, err, typesv1.Reason_REASON_CHUNK_FENCED)
	s.close(t)
	answer, err := again.client.ReadChunk(t.Context(), &chunkv1.ReadChunkRequest{Chunk: w.ref(1), Rows: 20_000})
	if err != nil || !bytes.Equal(answer.GetData(), data) {
		t.Errorf("other bytes, %v", err)
	}
}
