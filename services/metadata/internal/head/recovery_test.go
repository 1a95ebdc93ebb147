package head

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/drystone-store/drystone/services/metadata/internal/etcdtest"
)

func start(t *testing.T, client *clientv3.Client, o Options) *Etcd {
	t.Helper()
	e, err := NewEtcd(client, o)
	if err != nil {
		t.Fatal(err)
	}
	launch(t, e)
	return e
}

func launch(t *testing.T, e *Etcd) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

// set is a write without conditions.
func set(key, payload string, id byte) Write {
	return Write{Key: key, ID: WriteID{id, 1}, Plan: func(View) (Plan, error) {
		return Plan{Puts: []Put{{Key: key, Payload: []byte(payload)}}}, nil
	}}
}

func bury(key string, id byte) Write {
	return Write{Key: key, ID: WriteID{id, 2}, Plan: func(View) (Plan, error) {
		return Plan{Puts: []Put{{Key: key, Dead: true}}}, nil
	}}
}

func apply(t *testing.T, e *Etcd, w Write) Result {
	t.Helper()
	r := e.Commit(t.Context(), []Write{w})[0]
	if r.Err != nil {
		t.Fatalf("write %q: %v", w.Key, r.Err)
	}
	return r
}

func payload(t *testing.T, e *Etcd, key string) (string, bool) {
	t.Helper()
	var row Row
	var ok bool
	if err := e.Read(t.Context(), func(v View) error { row, ok = v.Get(key); return nil }); err != nil {
		t.Fatalf("read %q: %v", key, err)
	}
	return string(row.Payload), ok && !row.Dead
}

// A transaction that was planned on a row's absence and comes too late, after the row was put, removed and purged, must
// not apply (constraint 5). Without the epoch it would: the control shows it.
func TestDelayedTransactionAfterPurge(t *testing.T) {
	cluster := etcdtest.Start(t, 1)
	client := cluster.Client(t, 0)
	e := start(t, client, Options{})
	key := VersionKey(1, "k")
	apply(t, e, set(VersionKey(1, "other"), "", 1))

	late := &batch{}
	w := set(key, "late", 9)
	e.table.view(func(s *state) { late.add(&op{write: &w, change: s.decide(&w, s.applied).change}) })
	cmps, then, otherwise := late.txn("late")

	apply(t, e, set(key, "1", 2))
	apply(t, e, bury(key, 3))
	if _, ok := payload(t, e, key); ok {
		t.Fatal("it was not removed")
	}
	if n, err := e.Purge(t.Context(), time.Now()); n != 1 || err != nil {
		t.Fatalf("purged %d: %v", n, err)
	}
	resp, err := client.Txn(t.Context()).If(cmps...).Then(then...).Else(otherwise...).Commit()
	if err != nil || resp.Succeeded {
		t.Fatalf("the late transaction: %v, %v", resp, err)
	}
	if got, ok := payload(t, e, key); ok {
		t.Fatalf("the object is back: %q", got)
	}
	resp, err = client.Txn(t.Context()).Then(then...).Commit() // the control: without the comparison of the epoch
	if err != nil || !resp.Succeeded {
		t.Fatal(resp, err)
	}
	if got, _ := payload(t, e, key); got != "late" {
		t.Fatal("without the epoch it would not have applied either: the test proves nothing")
	}
}

// A drop makes a row absent, too: it moves the epoch as a purge does.
func TestDropsMoveTheEpoch(t *testing.T) {
	e := start(t, etcdtest.Start(t, 1).Client(t, 0), Options{})
	key := BucketKey("b")
	apply(t, e, set(key, "1", 1))
	r := apply(t, e, Write{Key: key, ID: WriteID{2}, Plan: func(View) (Plan, error) { return Plan{Drops: []string{key}}, nil }})
	if _, ok := payload(t, e, key); ok {
		t.Error("the row is there")
	}
	e.table.view(func(s *state) {
		if s.epoch != r.Revision {
			t.Errorf("dropped at %d, the epoch moved at %d", r.Revision, s.epoch)
		}
	})
}

// While etcd is away reads fail, and nothing is served from a copy that may be old; then all goes on.
func TestMemberRestarts(t *testing.T) {
	cluster := etcdtest.Start(t, 1)
	ready := make(chan bool, 16)
	e := start(t, cluster.Client(t, 0), Options{Ready: func(is bool) { ready <- is }})
	key := VersionKey(1, "k")
	apply(t, e, set(key, "1", 1))
	if !<-ready {
		t.Error("began as not ready")
	}
	cluster.Restart(t, 0, func() {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := e.Read(ctx, func(View) error { return nil }); err == nil {
			t.Error("read without etcd")
		}
	})
	back := time.Now()
	if got, ok := payload(t, e, key); !ok || got != "1" {
		t.Errorf("after the restart: %q, %t", got, ok)
	}
	t.Logf("recovered in %v", time.Since(back))
	apply(t, e, set(key, "2", 2))
	if got, _ := payload(t, e, key); got != "2" {
		t.Errorf("after a write: %q", got)
	}
}

// A copy whose watch was broken for so long that its history is compacted loads anew, and its window says so.
func TestReloadAfterCompaction(t *testing.T) {
	cluster := etcdtest.Start(t, 1)
	client := cluster.Client(t, 0)
	writer := start(t, client, Options{Name: "writer"})
	key, gone := VersionKey(1, "k"), VersionKey(1, "gone")
	apply(t, writer, set(gone, "old", 1))

	e, err := NewEtcd(cluster.Client(t, 0), Options{Name: "late"})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.replica.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.replica.loaded = true

	apply(t, writer, Write{Key: gone, ID: WriteID{3}, Plan: func(View) (Plan, error) { return Plan{Drops: []string{gone}}, nil }})
	last := apply(t, writer, set(key, "new", 2)).Revision
	if _, err := client.Compact(t.Context(), last, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	if err := e.replica.follow(t.Context()); !errors.Is(err, rpctypes.ErrCompacted) {
		t.Fatalf("follow: %v", err)
	}
	launch(t, e)
	if got, _ := payload(t, e, key); got != "new" {
		t.Errorf("after the reload: %q", got)
	}
	if _, ok := payload(t, e, gone); ok {
		t.Error("a dropped row survived the reload")
	}
	e.table.view(func(s *state) {
		if s.window.reaches(last - 1) {
			t.Error("the window claims to know what it missed")
		}
	})
}

// All ways to load.
func TestLoad(t *testing.T) {
	cluster := etcdtest.Start(t, 1)
	client := cluster.Client(t, 0)
	writer := start(t, client, Options{})
	var writes []Write
	for i := range 1000 {
		writes = append(writes, set(VersionKey(1, fmt.Sprintf("%04d", i)), "x", byte(i)))
	}
	for _, r := range writer.Commit(t.Context(), writes) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	if _, ok := payload(t, writer, VersionKey(1, "0999")); !ok { // a barrier: the writer has them all
		t.Fatal("the last row is missing")
	}
	want := writer.table.sizes()
	for name, load := range map[string]func(*loading) error{
		"stream":     func(l *loading) error { return l.stream(t.Context(), client) },
		"pages":      func(l *loading) error { return l.pages(t.Context(), client) },
		"in process": func(l *loading) error { return l.all(t.Context(), cluster.InProcess(t, 0)) },
	} {
		l := &loading{}
		if err := load(l); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		tab := newTable(testOptions())
		tab.replace(l.entries, l.epoch, l.rev)
		if got := tab.sizes(); got.live != want.live || got.bytes != want.bytes || got.applied != want.applied || l.epoch == 0 {
			t.Errorf("%s: %+v, epoch %d; want %+v", name, got, l.epoch, want)
		}
	}
}

// Rows that this version cannot read end the replica: what it would serve without them is not what is there.
func TestUnreadableRows(t *testing.T) {
	client := etcdtest.Start(t, 1).Client(t, 0)
	for name, value := range map[string]string{"short": "short", "future": string(append([]byte{2}, make([]byte, 40)...))} {
		e, err := NewEtcd(client, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Put(t.Context(), VersionKey(1, "foreign"), value); err != nil {
			t.Fatal(err)
		}
		var bad *badRowsError
		if err := e.Run(t.Context()); !errors.As(err, &bad) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Other prefixes of the same etcd move its revision; barriers must not wait for them.
func TestForeignRevisions(t *testing.T) {
	client := etcdtest.Start(t, 1).Client(t, 0)
	e := start(t, client, Options{})
	key := VersionKey(1, "k")
	apply(t, e, set(key, "1", 1))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for range 50 {
		if _, err := client.Put(ctx, "p/other", ""); err != nil {
			t.Fatal(err)
		}
		if err := e.Read(ctx, func(View) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
}

// One compactor compacts, behind what must be kept; when it falls silent another takes over.
func TestCompactor(t *testing.T) {
	cluster := etcdtest.Start(t, 1)
	client := cluster.Client(t, 0)
	now := time.Unix(1_800_000_000, 0)
	rev := int64(0)
	mk := func(name string) *compactor {
		return &compactor{
			etcd: client, name: name, keep: 10 * time.Minute,
			applied: func() int64 { return rev }, now: func() time.Time { return now }, changed: now,
		}
	}
	move := func() {
		r, err := client.Put(t.Context(), clockKey, "")
		if err != nil {
			t.Fatal(err)
		}
		rev = r.Header.GetRevision()
	}
	pass := func(c *compactor, want bool) {
		t.Helper()
		move()
		if done, err := c.pass(t.Context()); err != nil || done != want {
			t.Errorf("%s at %s: %t, %v; want %t", c.name, now.Format(time.TimeOnly), done, err, want)
		}
	}
	compactedTo := func() int64 {
		_, err := client.Get(t.Context(), clockKey, clientv3.WithRev(1))
		if err == nil {
			return 0
		}
		for r := int64(2); ; r++ {
			if _, err := client.Get(t.Context(), clockKey, clientv3.WithRev(r)); err == nil {
				return r
			}
		}
	}
	a, b := mk("a"), mk("b")
	move()
	first := rev + 1
	pass(a, false) // takes the turn; no history is old enough
	pass(b, false)
	if got := compactedTo(); got != 0 {
		t.Errorf("compacted to %d", got)
	}
	for range 4 {
		now = now.Add(2 * time.Minute)
		pass(a, false)
		pass(b, false)
	}
	now = now.Add(2 * time.Minute)
	pass(a, true)
	pass(b, false)
	if got := compactedTo(); got != first {
		t.Errorf("compacted to %d, want %d", got, first)
	}
	now = now.Add(turnOver) // a falls silent
	pass(b, false)
	now = now.Add(time.Second)
	pass(b, true)
	pass(a, false)
}

// While a watch catches up, its answers' headers are ahead of their events: applied is what the events say.
func TestHeadersDoNotCount(t *testing.T) {
	e, err := NewEtcd(nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	kv := &mvccpb.KeyValue{Key: []byte(VersionKey(1, "k")), Value: encodeValue(WriteID{1}, Put{}), ModRevision: 7}
	events := []*clientv3.Event{{Type: clientv3.EventTypePut, Kv: kv}}
	header := &etcdserverpb.ResponseHeader{Revision: 3009}
	if err := e.replica.apply(clientv3.WatchResponse{Header: header, Events: events}); err != nil {
		t.Fatal(err)
	}
	if got := e.gate.applied.Load(); got != 7 || e.replica.from != 8 {
		t.Errorf("applied %d, watches from %d", got, e.replica.from)
	}
	if err := e.replica.apply(clientv3.WatchResponse{Header: header}); err != nil { // a progress notification
		t.Fatal(err)
	}
	if got := e.gate.applied.Load(); got != 7 || e.replica.from != 3010 {
		t.Errorf("after a notification: applied %d, watches from %d", got, e.replica.from)
	}
}
