package drystone_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drystone-store/drystone/services/drystone"
	"github.com/drystone-store/drystone/services/drystone/internal/cli"
)

// running is a store that a test started.
type running struct {
	drystone.Status
	data   string
	cancel context.CancelFunc
	ended  chan error
}

// small is the topology of these tests: it survives a zone.
func small(t *testing.T) drystone.Config {
	return drystone.Config{
		Data: filepath.Join(t.TempDir(), "data"), REST: "127.0.0.1:0", GRPC: "127.0.0.1:0", Metrics: "127.0.0.1:0",
		Zones: 3, Nodes: 6, Scheme: "rs-4-2",
	}
}

func up(t *testing.T, cfg drystone.Config) *running {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	store, err := drystone.New(cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	r := &running{data: cfg.Data, cancel: cancel, ended: make(chan error, 1)}
	ready := make(chan drystone.Status, 1)
	begun := time.Now()
	go func() {
		r.ended <- store.Run(ctx, func(s drystone.Status) error {
			ready <- s
			return nil
		})
	}()
	select {
	case r.Status = <-ready:
		t.Logf("ready after %s", time.Since(begun).Round(time.Millisecond))
	case err := <-r.ended:
		cancel()
		t.Fatalf("ended before it was ready: %v", err)
	}
	t.Cleanup(func() { r.down(t) })
	return r
}

func (r *running) down(t *testing.T) {
	t.Helper()
	if r.cancel == nil {
		return
	}
	r.cancel()
	r.cancel = nil
	begun := time.Now()
	if err := <-r.ended; err != nil {
		t.Errorf("stop: %v", err)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("the stop took %s", took)
	}
}

// run runs an object command on the store.
func (r *running) run(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	code := cli.Main(t.Context(), append(args, "--data", r.data), cli.Streams{In: strings.NewReader(stdin), Out: &out, Err: &errs})
	if code != 0 {
		t.Fatalf("drystone %q: exit %d: %s", args, code, errs.String())
	}
	return out.String()
}

// objects are of the sizes at which the ways through the store part: none, packed, several blocks, streamed.
func objects() map[string][]byte {
	all := map[string][]byte{}
	for _, size := range []int{0, 1, 4096, 256 << 10, 256<<10 + 1, 1 << 20, 4<<20 + 17, 20 << 20} {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(i*7 + i>>8 + size)
		}
		all[fmt.Sprintf("sizes/%d", size)] = data
	}
	for _, key := range []string{"..", "a//b", "/leading", "trailing/", "%2F", "ünï cödé"} {
		all[key] = []byte(key)
	}
	return all
}

func TestAllInOne(t *testing.T) {
	cfg := small(t)
	r := up(t, cfg)
	if r.Scheme != "rs-4-2" || r.Topology != "6 nodes in 3 zones" {
		t.Errorf("status: %+v", r.Status)
	}
	r.run(t, "", "mb", "box")
	for key, data := range objects() {
		r.run(t, string(data), "put", "-", "box/"+key, "--meta", "n=1")
	}
	check := func(r *running) {
		t.Helper()
		var keys []string
		for line := range strings.Lines(r.run(t, "", "ls", "-r", "--json", "box")) {
			var o struct{ Key string }
			if err := json.Unmarshal([]byte(line), &o); err != nil {
				t.Fatal(err)
			}
			keys = append(keys, o.Key)
		}
		if len(keys) != len(objects()) {
			t.Errorf("%d keys are listed: %q", len(keys), keys)
		}
		for key, data := range objects() {
			if got := r.run(t, "", "get", "box/"+key, "-"); got != string(data) {
				t.Errorf("%q: got %d bytes that differ from the %d stored", key, len(got), len(data))
			}
		}
	}
	check(r)
	if out := r.run(t, "", "smoke", "--objects", "4"); !strings.Contains(out, "all is well: 19 steps") {
		t.Errorf("smoke: %s", out)
	}
	token := r.run(t, "", "cluster", "--json")
	r.down(t)

	// The second start has the same objects, whatever the flags leave out. A scheme was for one start: buckets keep it.
	cfg.Zones, cfg.Nodes, cfg.Scheme = 0, 0, ""
	r = up(t, cfg)
	if out := r.run(t, "", "stat", "box"); !strings.Contains(out, "rs-4-2") {
		t.Errorf("the bucket: %s", out)
	}
	if r.Scheme != "rs-3-3" || r.Topology != "6 nodes in 3 zones" {
		t.Errorf("status of the second start: %+v", r.Status)
	}
	if id := clusterID(t, token); clusterID(t, r.run(t, "", "cluster", "--json")) != id {
		t.Error("the second start is another cluster")
	}
	check(r)
	r.run(t, "", "rm", "-r", "box")
	if out := r.run(t, "", "ls", "-r", "box"); out != "" {
		t.Errorf("left after rm -r: %s", out)
	}
	r.run(t, "", "rb", "box")
	r.down(t)

	// Growing adds nodes and keeps the rest.
	cfg.Nodes = 9
	r = up(t, cfg)
	if r.Topology != "9 nodes in 3 zones" {
		t.Errorf("status after growing: %+v", r.Status)
	}
	r.run(t, "", "mb", "wide", "--scheme", "rs-5-4")
	r.run(t, "hello", "put", "-", "wide/x")
}

func clusterID(t *testing.T, raw string) string {
	t.Helper()
	var c struct{ ClusterID string }
	if err := json.Unmarshal([]byte(raw), &c); err != nil || c.ClusterID == "" {
		t.Fatalf("%s: %v", raw, err)
	}
	return c.ClusterID
}

func TestASchemeThatDoesNotFitIsRefusedAndForgotten(t *testing.T) {
	cfg := small(t)
	cfg.Scheme = "rs-8-4"
	_, err := drystone.New(cfg, slog.New(slog.DiscardHandler))
	var flag drystone.FlagError
	if !errors.As(err, &flag) || !strings.Contains(err.Error(), "rs-8-4 needs 12 distinct disks") {
		t.Errorf("new: %v", err)
	}
	entries, err := os.ReadDir(cfg.Data)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if diff := cmp.Diff([]string{"run"}, left); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
	cfg.Scheme, cfg.Nodes = "", 3
	if r := up(t, cfg); r.Topology != "3 nodes in 3 zones" {
		t.Errorf("the next start: %+v", r.Status)
	}
}

func TestARefusedSchemeLeavesDataAlone(t *testing.T) {
	cfg := small(t)
	r := up(t, cfg)
	r.run(t, "", "mb", "box")
	r.run(t, "hello", "put", "-", "box/x")
	r.down(t)
	refused := cfg
	refused.Scheme = "rs-8-4"
	if _, err := drystone.New(refused, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("rs-8-4 was taken on six nodes")
	}
	r = up(t, cfg)
	if got := r.run(t, "", "get", "box/x", "-"); got != "hello" {
		t.Errorf("got %q", got)
	}
}

func TestOneProcessForAFolder(t *testing.T) {
	cfg := small(t)
	up(t, cfg)
	if _, err := drystone.New(cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second one on the same folder: %v", err)
	}
}

func TestATakenPortIsSaidOnceWithWhatToDo(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	taken := l.Addr().String()
	for flag, change := range map[string]func(*drystone.Config){
		"--rest":    func(c *drystone.Config) { c.REST = taken },
		"--grpc":    func(c *drystone.Config) { c.GRPC = taken },
		"--metrics": func(c *drystone.Config) { c.Metrics = taken },
	} {
		cfg := small(t)
		change(&cfg)
		_, err := drystone.New(cfg, slog.New(slog.DiscardHandler))
		if err == nil || strings.Count(err.Error(), taken) != 1 || !strings.Contains(err.Error(), flag) {
			t.Errorf("%s: %v", flag, err)
		}
	}
}

// TestAPortThatIsTakenMeanwhileEndsAll: whoever takes it between the look and the front-door's own listening.
func TestAPortThatIsTakenMeanwhileEndsAll(t *testing.T) {
	cfg := small(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.REST = l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	store, err := drystone.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if l, err = net.Listen("tcp", cfg.REST); err != nil {
		t.Skip("somebody else took the port")
	}
	defer func() { _ = l.Close() }()
	err = store.Run(t.Context(), func(drystone.Status) error { return nil })
	if err == nil || strings.Count(err.Error(), "in use") != 1 {
		t.Errorf("run: %v", err)
	}
}

// TestABrokenNodeDoesNotKeepTheOthersDown: what was stored is read around it, and writes go on.
func TestABrokenNodeDoesNotKeepTheOthersDown(t *testing.T) {
	cfg := small(t)
	cfg.Nodes, cfg.Scheme = 9, "rs-5-4"
	r := up(t, cfg)
	r.run(t, "", "mb", "box")
	r.run(t, "hello", "put", "-", "box/x")
	r.down(t)
	disk := filepath.Join(cfg.Data, "nodes", "node-4", "disk0")
	if err := os.RemoveAll(disk); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r = up(t, cfg)
	if got := r.run(t, "", "get", "box/x", "-"); got != "hello" {
		t.Errorf("got %q", got)
	}
	r.run(t, "hello again", "put", "-", "box/y")
	if got := r.run(t, "", "get", "box/y", "-"); got != "hello again" {
		t.Errorf("got %q", got)
	}
}

func TestTelemetry(t *testing.T) {
	r := up(t, small(t))
	for path, want := range map[string][]string{
		"/metrics": {`drystone_rpc_server_seconds`, `replica="node-6"`, "etcd_disk_wal_fsync_duration_seconds", "process_resident_memory_bytes"},
		"/healthz": {"ok"},
		"/readyz":  {"ready"},
	} {
		resp, err := http.Get("http://" + r.Metrics + path)
		if err != nil {
			t.Fatal(err)
		}
		var body bytes.Buffer
		_, err = body.ReadFrom(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s, %v: %.300s", path, resp.Status, err, body.String())
		}
		for _, w := range want {
			if !strings.Contains(body.String(), w) {
				t.Errorf("%s: %q is not in it", path, w)
			}
		}
	}
}
