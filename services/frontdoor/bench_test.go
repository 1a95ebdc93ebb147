package frontdoor

import (
	"bytes"
	"context"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/minio/crc64nvme"
	"google.golang.org/grpc"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
)

// Client and server share the process, so their CPU time is counted together.

// cpu is the CPU time of this process so far, in seconds.
func cpu(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// request makes a request that can be sent again and again.
func (w *world) request(b *testing.B, method, path string, body []byte) *http.Request {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), method, "http://"+w.rest+path, nil)
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+testToken)
	if body != nil {
		req.ContentLength = int64(len(body))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	}
	return req
}

// repeat sends a request b.N times.
func (w *world) repeat(b *testing.B, req *http.Request, size int64) {
	b.Helper()
	b.SetBytes(size)
	b.ReportAllocs()
	begin := cpu(b)
	for b.Loop() {
		if req.GetBody != nil {
			req.Body, _ = req.GetBody()
		}
		resp, err := w.client.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || req.Method == http.MethodGet && n != size {
			b.Fatalf("%d, %d bytes, %v", resp.StatusCode, n, err)
		}
	}
	used := cpu(b) - begin
	b.ReportMetric(used*1e6/float64(b.N), "cpu-µs/op")
	if size >= 1<<20 {
		b.ReportMetric(used/float64(b.N)/float64(size)*(1<<30), "cpu-s/GiB")
	}
}

func BenchmarkREST(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 20} {
		h := &hole{seen: nothing{crc64nvme.New()}}
		w := newWorld(b, worldOptions{writer: h, reader: h})
		w.bucket(b, "bbb")
		b.Run(fmt.Sprintf("PUT/%dKiB", size>>10), func(b *testing.B) {
			w.repeat(b, w.request(b, "PUT", objectURL("bbb", "k"), payload(size)), int64(size))
		})
		h.size.Store(int64(size))
		w.put(b, "bbb", "k", payload(size))
		b.Run(fmt.Sprintf("GET/%dKiB", size>>10), func(b *testing.B) {
			w.repeat(b, w.request(b, "GET", objectURL("bbb", "k"), nil), int64(size))
		})
	}
}

// nothing is a hash that does not compute.
type nothing struct{ hash.Hash }

func (nothing) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkList reads pages of 1,000 keys; metadata answers from one page that it keeps, so what counts is the front.
func BenchmarkList(b *testing.B) {
	const keys = 1000
	var page *metadatav1.ListVersionsResponse
	w := newWorld(b, worldOptions{metadata: func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		if info.FullMethod != metadatav1.MetadataService_ListVersions_FullMethodName {
			return next(ctx, req)
		}
		if page == nil {
			resp, err := next(ctx, req)
			if err != nil {
				return nil, err
			}
			page = resp.(*metadatav1.ListVersionsResponse)
		}
		return page, nil
	}})
	w.bucket(b, "bbb")
	for i := range keys {
		w.put(b, "bbb", fmt.Sprintf("photos/2026/11/%s/IMG_%06d.jpg", strings.Repeat("x", i%10), i), nil)
	}
	req := w.request(b, "GET", "/v1/buckets/bbb/objects?prefix=photos/", nil)
	size := int64(len(w.call(b, "GET", "/v1/buckets/bbb/objects?prefix=photos/", nil).body))
	b.ResetTimer()
	w.repeat(b, req, size)
	b.ReportMetric(float64(b.N)*keys/b.Elapsed().Seconds(), "keys/s")
}
