package state

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/placement/internal/etcdtest"
)

// TestWatchAcrossCompaction stops a replica's watch, lets history go on and be dropped, and expects a reload.
func TestWatchAcrossCompaction(t *testing.T) {
	etcd := etcdtest.Start(t, 1)
	writes := replica(t, etcd.Client(t, 0))
	term := startTerm(t, writes, "w")
	old := openVolume(t, writes, "w", term.Number)

	late, err := New(etcd.Client(t, 0), Options{Log: slog.New(slog.DiscardHandler), TermLength: time.Hour, WriterLease: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	next, err := late.load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writes.SealVolume(t.Context(), old.GetId(), 1, 4096); err != nil {
		t.Fatal(err)
	}
	young := openVolume(t, writes, "w", term.Number)
	if _, err := writes.etcd.Compact(t.Context(), young.GetRevision()); err != nil {
		t.Fatal(err)
	}
	again, err := late.watch(t.Context(), next)
	if again != 0 || err == nil {
		t.Fatalf("watch from a compacted revision goes on at %d, %v; want a reload", again, err)
	}
	if _, err := late.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	counts := late.Counts()
	if counts.GetSealed() != 1 || counts.GetOpening() != 1 {
		t.Errorf("after the reload: %v", counts)
	}
	if n := late.Columns()["d2"]; n != 2 {
		t.Errorf("%d columns on d2, want 2", n)
	}
}

// TestLoadWhileOthersWrite checks that load and watch leave no gap between them.
func TestLoadWhileOthersWrite(t *testing.T) {
	etcd := etcdtest.Start(t, 1)
	writes := replica(t, etcd.Client(t, 0))
	term := startTerm(t, writes, "w")
	const opens = 60
	var running sync.WaitGroup
	running.Go(func() {
		for range opens {
			if _, err := writes.OpenVolume(t.Context(), template("w", term.Number)); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range 4 {
		s := replica(t, etcd.Client(t, 0))
		if err := s.Barrier(t.Context()); err != nil {
			t.Errorf("replica %d: %v", i, err)
		}
		waitFor(t, s, func(m *model) bool { return m.volumes.Len() == opens })
	}
	running.Wait()
}

func TestEtcdAwayAndBack(t *testing.T) {
	t.Parallel() // most of its time it waits
	etcd := etcdtest.Start(t, 1)
	s := replica(t, etcd.Client(t, 0))
	term := startTerm(t, s, "w")
	opened := openVolume(t, s, "w", term.Number)
	etcd.Stop(0)

	if _, err := s.Volume(t.Context(), opened.GetId()); err != nil {
		t.Errorf("a cached read while etcd is away: %v", err)
	}
	var calls sync.WaitGroup
	for name, call := range map[string]func(context.Context) error{
		"fresh read": func(ctx context.Context) error {
			_, err := s.Volumes(ctx, []uint64{opened.GetId()}, true)
			return err
		},
		"absent id": func(ctx context.Context) error { _, err := s.Volume(ctx, 99); return err },
		"list": func(ctx context.Context) error {
			return s.ListVolumes(ctx, func(*placementv1.Volume) error { return nil })
		},
		"open":       func(ctx context.Context) error { _, err := s.OpenVolume(ctx, template("w", term.Number)); return err },
		"seal":       func(ctx context.Context) error { _, err := s.SealVolume(ctx, opened.GetId(), 1, 0); return err },
		"start term": func(ctx context.Context) error { _, err := s.StartTerm(ctx, "w"); return err },
		"renew term": func(ctx context.Context) error { _, err := s.RenewTerm(ctx, "w", term.Number); return err },
	} {
		calls.Go(func() {
			err := call(t.Context())
			if fault.Code(err) != codes.Unavailable || !fault.Is(err, typesv1.Reason_REASON_UNAVAILABLE) {
				t.Errorf("%s: %v, want UNAVAILABLE", name, err)
			}
			if after, ok := fault.RetryAfter(err); !ok || after <= 0 {
				t.Errorf("%s says nothing about when to try again", name)
			}
		})
	}
	calls.Wait()
	etcd.Restart(t, 0)
	deadline := time.Now().Add(patience)
	for {
		// What was sent before may have arrived or not; sealing may be asked for again.
		if _, err := s.SealVolume(t.Context(), opened.GetId(), 1, 4096); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("etcd is back, sealing says %v", err)
		}
	}
	if err := s.Barrier(t.Context()); err != nil {
		t.Errorf("barrier after etcd came back: %v", err)
	}
}

// TestWithoutALeader leaves one of three members alive.
func TestWithoutALeader(t *testing.T) {
	t.Parallel()
	etcd := etcdtest.Start(t, 3)
	s := replica(t, etcd.Client(t, 0))
	opened := openVolume(t, s, "w", startTerm(t, s, "w").Number)
	etcd.Stop(1)
	etcd.Stop(2)
	began := time.Now()
	_, err := s.Volumes(t.Context(), []uint64{opened.GetId()}, true)
	wantReason(t, err, typesv1.Reason_REASON_UNAVAILABLE)
	_, err = s.SealVolume(t.Context(), opened.GetId(), 1, 0)
	wantReason(t, err, typesv1.Reason_REASON_UNAVAILABLE)
	if took := time.Since(began); took > barrierTimeout+txnTimeout+5*time.Second {
		t.Errorf("the refusals took %v", took)
	}
	if _, err := s.Volume(t.Context(), opened.GetId()); err != nil {
		t.Errorf("a cached read: %v", err)
	}
}

func TestBarrierRoundsBeginAfterTheyWereJoined(t *testing.T) {
	b := newBarrier()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	probing, release := make(chan int, 10), make(chan struct{})
	rounds := 0
	running.Go(func() {
		b.run(ctx, func(context.Context) error {
			rounds++
			probing <- rounds
			<-release
			return fmt.Errorf("round %d", rounds)
		})
	})
	answers := make(chan string, 10)
	join := func() {
		running.Go(func() { answers <- b.wait(t.Context()).Error() })
	}
	join()
	<-probing // round 1 runs: whoever comes now must not share it
	for range 3 {
		join()
	}
	release <- struct{}{}
	if got := <-answers; got != "round 1" {
		t.Errorf("the first reader got %s", got)
	}
	for got := 0; got < 3; {
		select {
		case release <- struct{}{}:
		case answer := <-answers:
			got++
			if answer == "round 1" {
				t.Error("a later reader shared round 1")
			}
		}
	}
	cancel()
	running.Wait()
}

func TestBarrierGivesUpWithItsCaller(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := newBarrier().wait(ctx); err == nil {
		t.Error("a barrier that nobody serves returned")
	}
}

func TestModelKeepsCountThroughReplacementAndRemoval(t *testing.T) {
	m := newModel()
	v := template("w", 1)
	v.Id, v.State = 5, placementv1.VolumeState_VOLUME_STATE_OPEN
	apply := func() {
		t.Helper()
		entry, err := formatVolume(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.put(&mvccpb.KeyValue{Key: []byte(volumeEntryKey(5)), Value: []byte(entry), ModRevision: 3}); err != nil {
			t.Fatal(err)
		}
	}
	apply()
	v.State, v.Members[0].Disk = placementv1.VolumeState_VOLUME_STATE_SEALED, "d9"
	apply()
	if m.states[placementv1.VolumeState_VOLUME_STATE_OPEN] != 0 || m.states[placementv1.VolumeState_VOLUME_STATE_SEALED] != 1 {
		t.Errorf("states: %v", m.states)
	}
	if m.columns["d1"] != 0 || m.columns["d9"] != 1 || m.columns["d2"] != 1 {
		t.Errorf("columns: %v", m.columns)
	}
	if err := m.remove(volumeEntryKey(5)); err != nil {
		t.Fatal(err)
	}
	if len(m.columns) != 0 || m.states[placementv1.VolumeState_VOLUME_STATE_SEALED] != 0 {
		t.Errorf("after the removal: %v, %v", m.states, m.columns)
	}
}

func TestModelRefusesWhatItDoesNotUnderstand(t *testing.T) {
	m := newModel()
	for key, value := range map[string]string{
		"p/elsewhere": "", volumeKey: "x", nodePrefix + "n": "\xff", volumePrefix + "zz": "", writerPrefix + "zz": "w",
		volumeEntryKey(1): "\xff",
	} {
		if err := m.put(&mvccpb.KeyValue{Key: []byte(key), Value: []byte(value)}); err == nil {
			t.Errorf("key %q with value %q was understood", key, value)
		}
	}
	if m.volumes.Len() != 0 || len(m.nodes) != 0 || len(m.writers) != 0 {
		t.Error("something of it was kept")
	}
}

func TestChangeRegister(t *testing.T) {
	etcd := etcdtest.Start(t, 1)
	stores := []*Store{replica(t, etcd.Client(t, 0)), replica(t, etcd.Client(t, 0))}
	const nodes = 20
	var running sync.WaitGroup
	for i := range nodes {
		running.Go(func() {
			// Each adds a disk to the one node: none of the additions may be lost.
			err := stores[i%2].ChangeRegister(t.Context(), func(now map[string]*placementv1.Node) ([]*placementv1.Node, error) {
				n := &placementv1.Node{Place: &typesv1.Place{Node: "n"}}
				n.Disks = append(n.Disks, now["n"].GetDisks()...)
				n.Disks = append(n.Disks, &placementv1.Disk{Id: fmt.Sprintf("d%d", i)})
				return []*placementv1.Node{n}, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	for _, s := range stores {
		if err := s.Barrier(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(s.Register()["n"].GetDisks()); n != nodes {
			t.Errorf("%d disks, want %d", n, nodes)
		}
	}
	unchangedBefore := clockRevision(t, stores[0])
	err := stores[0].ChangeRegister(t.Context(), func(map[string]*placementv1.Node) ([]*placementv1.Node, error) { return nil, nil })
	if err != nil || clockRevision(t, stores[0]) != unchangedBefore {
		t.Errorf("a change of nothing wrote, or failed: %v", err)
	}
}

func clockRevision(t *testing.T, s *Store) int64 {
	t.Helper()
	answer, err := s.etcd.Get(t.Context(), clockKey, clientv3.WithKeysOnly())
	if err != nil {
		t.Fatal(err)
	}
	return answer.Kvs[0].GetModRevision()
}
