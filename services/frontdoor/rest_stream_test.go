package frontdoor

import (
	"bytes"
	"context"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/crc64nvme"
	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/datapath/volume"
	"github.com/drystone-store/drystone/services/frontdoor/internal/inmemory"
	"github.com/drystone-store/drystone/services/frontdoor/internal/object"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// A reader that fails in the middle ends the connection; nobody may take the part for the whole.
func TestReadThatFailsInTheMiddle(t *testing.T) {
	for _, at := range []int{0, 1} {
		t.Run(fmt.Sprintf("after %d MiB", at), func(t *testing.T) {
			w := newWorld(t, worldOptions{})
			w.bucket(t, "bbb")
			w.put(t, "bbb", "k", payload(3<<20))
			for range at {
				w.volumes.Fail(nil)
			}
			w.volumes.Fail(fault.New(codes.DataLoss, typesv1.Reason_REASON_TOO_MUCH_LOST, "five disks are gone"))
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+w.rest+objectURL("bbb", "k"), nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+testToken)
			resp, err := w.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			got, err := io.ReadAll(resp.Body)
			if at == 0 {
				if err != nil || resp.StatusCode != http.StatusInternalServerError || !bytes.Contains(got, []byte("TOO_MUCH_LOST")) {
					t.Fatalf("%d %s, %v", resp.StatusCode, got, err)
				}
				return
			}
			if err == nil || len(got) >= 3<<20 || bytes.Contains(got, []byte("TOO_MUCH_LOST")) {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
			w.settle(t, "GetObject")
			if !strings.Contains(w.logs.String(), `"aborted":true`) {
				t.Fatal("the log does not tell")
			}
		})
	}
}

// The front's own copy of a slice is right: the volumes overwrite theirs as soon as they may.
func TestEveryRangeComesBack(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.bucket(t, "bbb")
	const size = 3<<20 + 4321
	data := payload(size)
	w.put(t, "bbb", "k", data)
	edges := []int{0, 1, 16<<10 - 1, 16 << 10, 1<<20 - 1, 1 << 20, 1<<20 + 1, 2 << 20, size - 1}
	for _, first := range edges {
		for _, last := range append(edges, size, size+100) {
			a := w.call(t, "GET", objectURL("bbb", "k"), nil, "Range", fmt.Sprintf("bytes=%d-%d", first, last))
			if last < first {
				if a.status != 200 || !bytes.Equal(a.body, data) {
					t.Fatalf("%d-%d: %d, %d bytes", first, last, a.status, len(a.body))
				}
				continue
			}
			end := min(last, size-1)
			want := fmt.Sprintf("bytes %d-%d/%d", first, end, size)
			if a.status != 206 || a.header.Get("Content-Range") != want || !bytes.Equal(a.body, data[first:end+1]) {
				t.Fatalf("%d-%d: %d, %s, %d bytes", first, last, a.status, a.header.Get("Content-Range"), len(a.body))
			}
		}
		a := w.call(t, "GET", objectURL("bbb", "k"), nil, "Range", fmt.Sprintf("bytes=-%d", first+1))
		if a.status != 206 || !bytes.Equal(a.body, data[size-first-1:]) {
			t.Fatalf("-%d: %d, %d bytes", first+1, a.status, len(a.body))
		}
	}
}

// hole is storage that keeps nothing but a checksum, and brings back as many bytes as are asked for.
type hole struct {
	inmemory.Volumes
	seen hash.Hash
	size atomic.Int64
}

func (h *hole) Stream(context.Context, erasure.Scheme, *typesv1.RecordHeader) (object.Stream, error) {
	return h, nil
}

func (h *hole) Write(p []byte) (int, error) {
	h.size.Add(int64(len(p)))
	return h.seen.Write(p)
}

func (h *hole) Finish(context.Context, *typesv1.Checksum) (volume.Placed, error) {
	return volume.Placed{Extents: []*typesv1.Extent{{Volume: 1, Length: uint64(h.size.Load()), Run: 1 << 20}}}, nil
}

func (h *hole) Abort() {}

func (h *hole) Read(_ context.Context, _ []*typesv1.Extent, _, length int64, emit func([]byte) error) error {
	buf := make([]byte, min(length, 1<<20))
	for length > 0 {
		n := min(length, int64(len(buf)))
		if err := emit(buf[:n]); err != nil {
			return err
		}
		length -= n
	}
	return nil
}

// generated is n bytes of a generator.
type generated struct {
	source *rand.ChaCha8
	left   int64
}

func (g *generated) Read(p []byte) (int, error) {
	if g.left == 0 {
		return 0, io.EOF
	}
	n, err := g.source.Read(p[:min(int64(len(p)), g.left)])
	g.left -= int64(n)
	return n, err
}

// A gigabyte goes in and comes out through a heap of a few megabytes.
func TestLargeBodyInASmallHeap(t *testing.T) {
	if testing.Short() {
		t.Skip("moves two gigabytes")
	}
	const size, bound = 1 << 30, 64 << 20
	h := &hole{seen: crc64nvme.New()}
	w := newWorld(t, worldOptions{writer: h, reader: h})
	w.bucket(t, "bbb")
	peak := watchHeap(t)
	sent := crc64nvme.New()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+w.rest+objectURL("bbb", "k"),
		io.TeeReader(&generated{source: rand.NewChaCha8([32]byte{1}), left: size}, sent))
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = size
	req.Header.Set("Authorization", "Bearer "+testToken)
	if a := w.do(t, req); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if !bytes.Equal(sent.Sum(nil), h.seen.Sum(nil)) {
		t.Fatal("other bytes arrived")
	}
	req, err = http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+w.rest+objectURL("bbb", "k"), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+testToken)
	resp, err := w.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil {
		t.Fatalf("%d bytes, %v", n, err)
	}
	if got := peak(); got > bound {
		t.Fatalf("the heap grew to %d MiB", got>>20)
	}
}

// watchHeap samples the live heap until the returned function is called, which tells the peak.
func watchHeap(t *testing.T) func() uint64 {
	t.Helper()
	stop, peak := make(chan struct{}), make(chan uint64)
	go func() {
		var most uint64
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapInuse)
			select {
			case <-stop:
				peak <- most
				return
			case <-ticker.C:
			}
		}
	}()
	return func() uint64 {
		close(stop)
		return <-peak
	}
}
