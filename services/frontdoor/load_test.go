package frontdoor

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
)

// Uploads beyond the bound wait a moment, then are told to come again; what runs goes on, and other kinds of work are
// not kept out.
func TestOverload(t *testing.T) {
	w := newWorld(t, worldOptions{budgets: Budgets{MaxPuts: 1, Queue: 1, Wait: 50 * time.Millisecond}})
	w.bucket(t, "bbb")
	r, body := io.Pipe()
	var slow sync.WaitGroup
	slow.Go(func() {
		if a := w.call(t, "PUT", "/v1/buckets/bbb/objects/slow", r); a.status != http.StatusOK {
			t.Errorf("the slow one: %d %s", a.status, a.body)
		}
	})
	begin := payload(800 << 10) // Over what is gathered, so that it becomes a stream and shows itself.
	if _, err := body.Write(begin); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); w.volumes.Streams() == 0; {
		if time.Now().After(deadline) {
			t.Fatal("it never arrived")
		}
		runtime.Gosched()
	}
	a := w.call(t, "PUT", "/v1/buckets/bbb/objects/k", strings.NewReader("x"))
	if a.reason != "OVERLOADED" || a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %q, %v", a.status, a.reason, a.header)
	}
	if a := w.call(t, "GET", "/v1/buckets/bbb/objects", nil); a.status != http.StatusOK {
		t.Errorf("a listing: %d %s", a.status, a.body)
	}
	if _, err := body.Write([]byte("and ends")); err != nil {
		t.Fatal(err)
	}
	_ = body.Close()
	slow.Wait()
	if a := w.call(t, "GET", "/v1/buckets/bbb/objects/slow", nil); !bytes.Equal(a.body, append(begin, "and ends"...)) {
		t.Errorf("%d, %d bytes", a.status, len(a.body))
	}
	if a := w.call(t, "PUT", "/v1/buckets/bbb/objects/k", strings.NewReader("x")); a.status != http.StatusOK {
		t.Errorf("afterwards: %d %s", a.status, a.body)
	}
}

// Many small uploads at once share few commits.
func TestCommitsAreShared(t *testing.T) {
	slow := func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		if info.FullMethod == metadatav1.MetadataService_Commit_FullMethodName {
			timer := time.NewTimer(20 * time.Millisecond)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		}
		return next(ctx, req)
	}
	w := newWorld(t, worldOptions{metadata: slow})
	w.bucket(t, "bbb")
	const uploads = 200
	var all sync.WaitGroup
	for i := range uploads {
		all.Go(func() { w.put(t, "bbb", string(rune('a'+i%26))+strings.Repeat("x", i/26), payload(4096)) })
	}
	all.Wait()
	if n := w.names.Objects(); n != uploads {
		t.Fatalf("%d objects", n)
	}
	if n := w.names.Commits(); n > uploads/4 {
		t.Fatalf("%d commits for %d uploads", n, uploads)
	}
}

// HTTP/2 without TLS works as HTTP/1.1 does, and there a body that is longer than its length can be told.
func TestHTTP2(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.bucket(t, "bbb")
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	w.client = &http.Client{Transport: transport}
	data := payload(3 << 20)
	w.put(t, "bbb", "a//b/../c", data)
	a := w.call(t, "GET", objectURL("bbb", "a//b/../c"), nil, "Range", "bytes=1000000-")
	if a.status != http.StatusPartialContent || !bytes.Equal(a.body, data[1000000:]) {
		t.Fatalf("%d, %d bytes", a.status, len(a.body))
	}
	if a := w.call(t, "HEAD", objectURL("bbb", "a//b/../c"), nil); a.header.Get("Content-Length") != "3145728" {
		t.Fatal(a.header)
	}
}
