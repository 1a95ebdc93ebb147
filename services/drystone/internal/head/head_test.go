package head

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func start(t *testing.T, dir string) *Head {
	t.Helper()
	h, err := Start(t.Context(), dir, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func stop(t *testing.T, h *Head) {
	t.Helper()
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}

func TestASecondStartHasTheRows(t *testing.T) {
	dir := t.TempDir()
	h := start(t, dir)
	if _, err := h.Client().Put(t.Context(), "key", "value"); err != nil {
		t.Fatal(err)
	}
	stop(t, h)
	h = start(t, dir)
	defer stop(t, h)
	resp, err := h.Client().Get(t.Context(), "key")
	if err != nil || len(resp.Kvs) != 1 || string(resp.Kvs[0].GetValue()) != "value" {
		t.Errorf("%v, %v", resp, err)
	}
}

func TestGetStream(t *testing.T) {
	h := start(t, t.TempDir())
	defer stop(t, h)
	const rows = 500
	value := make([]byte, 4096) // several chunks
	for i := range rows {
		if _, err := h.Client().Put(t.Context(), fmt.Sprintf("k%04d", i), string(value)); err != nil {
			t.Fatal(err)
		}
	}
	chunks, err := h.Client().GetStream(t.Context(), "k", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	got, parts := 0, 0
	var revision int64
	for chunk := range chunks {
		if err := chunk.Err(); err != nil {
			t.Fatal(err)
		}
		for _, kv := range chunk.RangeResponse.GetKvs() {
			if string(kv.GetKey()) != fmt.Sprintf("k%04d", got) {
				t.Fatalf("row %d is %s", got, kv.GetKey())
			}
			got++
		}
		parts++
		revision = chunk.RangeResponse.GetHeader().GetRevision()
	}
	if got != rows || parts < 2 || revision == 0 {
		t.Errorf("%d rows in %d chunks at revision %d", got, parts, revision)
	}
}

func TestGetStreamEndsWithItsCaller(t *testing.T) {
	h := start(t, t.TempDir())
	defer stop(t, h)
	for i := range 500 {
		if _, err := h.Client().Put(t.Context(), fmt.Sprintf("k%04d", i), string(make([]byte, 4096))); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	chunks, err := h.Client().GetStream(ctx, "k", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	<-chunks
	cancel()
	var last error
	for chunk := range chunks {
		last = chunk.Err()
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("it ended with %v", last)
	}
}

// TestRawCallsWork: some code calls a client's connection by itself.
func TestRawCallsWork(t *testing.T) {
	h := start(t, t.TempDir())
	defer stop(t, h)
	lease, err := h.Client().Grant(t.Context(), 60)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := etcdserverpb.NewLeaseClient(h.Client().ActiveConnection()).LeaseKeepAlive(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&etcdserverpb.LeaseKeepAliveRequest{ID: int64(lease.ID)}); err != nil {
		t.Fatal(err)
	}
	if answer, err := stream.Recv(); err != nil || answer.GetTTL() != 60 {
		t.Errorf("%v, %v", answer, err)
	}
}

// TestNothingListens compares the process's sockets: etcd must not be reachable from outside of it.
func TestNothingListens(t *testing.T) {
	before := listeners(t)
	h := start(t, t.TempDir())
	defer stop(t, h)
	if after := listeners(t); after != before {
		t.Errorf("%d sockets before, %d with etcd", before, after)
	}
	// The control: this would be seen.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if after := listeners(t); after != before+1 {
		t.Errorf("%d sockets before, %d with a listener", before, after)
	}
}

// listeners counts the process's sockets.
func listeners(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc here")
	}
	n := 0
	for _, fd := range fds {
		if target, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && len(target) > 7 && target[:7] == "socket:" {
			n++
		}
	}
	return n
}

func TestADamagedFolderIsAnErrorNotACrash(t *testing.T) {
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if h, err := Start(t.Context(), file, slog.New(slog.DiscardHandler)); err == nil {
		_ = h.Close()
		t.Error("it started on a file")
	}
}
