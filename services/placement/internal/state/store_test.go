package state

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/testing/protocmp"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/placement/internal/etcdtest"
)

// patience bounds waits for something that must come; the machine may be busy.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// replica runs a store until the test ends, and waits until it is loaded.
func replica(t *testing.T, etcd *clientv3.Client) *Store {
	t.Helper()
	return loaded(t, unloaded(t, etcd, time.Hour))
}

func loaded(t *testing.T, s *Store) *Store {
	t.Helper()
	select {
	case <-s.Loaded():
	case <-time.After(patience):
		t.Fatal("the store does not load")
	}
	return s
}

func unloaded(t *testing.T, etcd *clientv3.Client, lease time.Duration) *Store {
	t.Helper()
	s, err := New(etcd, Options{
		Log: slog.New(slog.DiscardHandler), TermLength: time.Hour, WriterLease: lease,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return s
}

func startTerm(t *testing.T, s *Store, writer string) Term {
	t.Helper()
	term, err := s.StartTerm(t.Context(), writer)
	if err != nil {
		t.Fatal(err)
	}
	return term
}

func openVolume(t *testing.T, s *Store, writer string, term uint64) *placementv1.Volume {
	t.Helper()
	v, err := s.OpenVolume(t.Context(), template(writer, term))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func template(writer string, term uint64) *placementv1.Volume {
	return &placementv1.Volume{
		VolumeClass: typesv1.VolumeClass_VOLUME_CLASS_STREAM,
		Scheme:      &typesv1.Scheme{K: 2, M: 1},
		Wanted:      &typesv1.Scheme{K: 2, M: 1},
		Members: []*placementv1.Member{
			{Disk: "d1", Node: "n1", Attempt: 1}, {Disk: "d2", Node: "n2", Attempt: 1}, {Disk: "d3", Node: "n3", Attempt: 1},
		},
		Writer: writer, Term: term, Capacity: 1 << 30,
	}
}

func wantReason(t *testing.T, err error, want typesv1.Reason) {
	t.Helper()
	if got := fault.Reason(err); got != want {
		t.Errorf("error %v has reason %v, want %v", err, got, want)
	}
}

func TestClusterIsFoundedOnce(t *testing.T) {
	etcd := etcdtest.Start(t, 1)
	var ids [4]string
	var starting sync.WaitGroup
	for i := range ids {
		client := etcd.Client(t, 0)
		starting.Go(func() {
			var err error
			if ids[i], err = replica(t, client).Cluster(); err != nil {
				t.Error(err)
			}
		})
	}
	starting.Wait()
	for _, id := range ids {
		if id != ids[0] || id == "" {
			t.Errorf("replicas see the clusters %q", ids)
		}
	}
}

func TestBeforeTheLoadEverythingIsUnavailable(t *testing.T) {
	etcd := etcdtest.Start(t, 1)
	client := etcd.Client(t, 0)
	etcd.Stop(0)
	s := unloaded(t, client, time.Second)
	_, err := s.Cluster()
	wantReason(t, err, typesv1.Reason_REASON_UNAVAILABLE)
	_, err = s.Volumes(t.Context(), []uint64{1}, false)
	wantReason(t, err, typesv1.Reason_REASON_UNAVAILABLE)
	_, err = s.OpenVolume(t.Context(), template("w", 1))
	wantReason(t, err, typesv1.Reason_REASON_UNAVAILABLE)
	wantReason(t, s.Barrier(t.Context()), typesv1.Reason_REASON_UNAVAILABLE)
}

func TestLifeOfAVolume(t *testing.T) {
	etcd := etcdtest.Start(t, 1)
	a, b := replica(t, etcd.Client(t, 0)), replica(t, etcd.Client(t, 0))
	term := startTerm(t, a, "w")
	opened := openVolume(t, a, "w", term.Number)
	want := template("w", term.Number)
	want.Id, want.State, want.Generation = 1<<48|1, placementv1.VolumeState_VOLUME_STATE_OPENING, 1
	volatile := protocmp.IgnoreFields(&placementv1.Volume{}, "revision", "changed_ms")
	if diff := cmp.Diff(want, opened, protocmp.Transform(), volatile); diff != "" {
		t.Fatalf("opened (-want +got):\n%s", diff)
	}
	sameEverywhere(t, opened, a, b)

	confirmed, err := b.ConfirmVolume(t.Context(), opened.GetId(), opened.GetRevision())
	if err != nil {
		t.Fatal(err)
	}
	want.State = placementv1.VolumeState_VOLUME_STATE_OPEN
	if diff := cmp.Diff(want, confirmed, protocmp.Transform(), volatile); diff != "" {
		t.Fatalf("confirmed (-want +got):\n%s", diff)
	}
	again, err := a.ConfirmVolume(t.Context(), opened.GetId(), opened.GetRevision())
	if diff := cmp.Diff(confirmed, again, protocmp.Transform()); err != nil || diff != "" {
		t.Fatalf("confirmed twice: %v\n%s", err, diff)
	}
	_, err = a.ConfirmVolume(t.Context(), opened.GetId(), confirmed.GetRevision())
	wantReason(t, err, typesv1.Reason_REASON_VOLUME_CONFLICT)
	sameEverywhere(t, confirmed, a, b)

	_, err = a.SealVolume(t.Context(), opened.GetId(), 2, 4096)
	wantReason(t, err, typesv1.Reason_REASON_VOLUME_CONFLICT)
	sealed, err := a.SealVolume(t.Context(), opened.GetId(), 1, 4096)
	if err != nil {
		t.Fatal(err)
	}
	want.State, want.Length = placementv1.VolumeState_VOLUME_STATE_SEALED, 4096
	if diff := cmp.Diff(want, sealed, protocmp.Transform(), volatile); diff != "" {
		t.Fatalf("sealed (-want +got):\n%s", diff)
	}
	later, err := b.SealVolume(t.Context(), opened.GetId(), 1, 8192)
	if diff := cmp.Diff(sealed, later, protocmp.Transform()); err != nil || diff != "" {
		t.Fatalf("the second sealer: %v\n%s", err, diff)
	}
	_, err = b.ConfirmVolume(t.Context(), opened.GetId(), opened.GetRevision())
	wantReason(t, err, typesv1.Reason_REASON_VOLUME_CONFLICT)
	sameEverywhere(t, sealed, a, b)
}

// sameEverywhere reads an entry from each replica behind the barrier.
func sameEverywhere(t *testing.T, want *placementv1.Volume, stores ...*Store) {
	t.Helper()
	for _, s := range stores {
		got, err := s.Volumes(t.Context(), []uint64{want.GetId()}, true)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]*placementv1.Volume{want}, got, protocmp.Transform()); diff != "" {
			t.Errorf("in the map (-want +got):\n%s", diff)
		}
	}
}

func TestAnOpeningVolumeCanBeSealed(t *testing.T) {
	etcd := etcdtest.Start(t, 1)
	s := replica(t, etcd.Client(t, 0))
	opened := openVolume(t, s, "w", startTerm(t, s, "w").Number)
	sealed, err := s.SealVolume(t.Context(), opened.GetId(), 1, 0)
	if err != nil || sealed.GetState() != placementv1.VolumeState_VOLUME_STATE_SEALED {
		t.Errorf("sealed: %v, %v", sealed, err)
	}
}

func TestUnknownVolume(t *testing.T) {
	etcd := etcdtest.Start(t, 1)
	s := replica(t, etcd.Client(t, 0))
	_, err := s.ConfirmVolume(t.Context(), 7, 1)
	wantReason(t, err, typesv1.Reason_REASON_NO_SUCH_VOLUME)
	_, err = s.SealVolume(t.Context(), 7, 1, 0)
	wantReason(t, err, typesv1.Reason_REASON_NO_SUCH_VOLUME)
	if found, err := s.Volumes(t.Context(), []uint64{7}, false); err != nil || len(found) != 0 {
		t.Errorf("found %v, %v", found, err)
	}
}

// TestReadYourWriteOnAnotherReplica opens on one replica and reads, without asking for fresh, on the other.
func TestReadYourWriteOnAnotherReplica(t *testing.T) {
	etcd := etcdtest.Start(t, 1)
	a, b := replica(t, etcd.Client(t, 0)), replica(t, etcd.Client(t, 0))
	term := startTerm(t, a, "w")
	for range 20 {
		opened := openVolume(t, a, "w", term.Number)
		if _, err := b.Volume(t.Context(), opened.GetId()); err != nil {
			t.Fatal(err)
		}
		if _, err := b.ConfirmVolume(t.Context(), opened.GetId(), opened.GetRevision()); err != nil {
			t.Fatal(err)
		}
		fresh, err := a.Volumes(t.Context(), []uint64{opened.GetId()}, true)
		if err != nil || fresh[0].GetState() != placementv1.VolumeState_VOLUME_STATE_OPEN {
			t.Fatalf("a fresh read sees %v, %v", fresh, err)
		}
	}
}

func TestConcurrentOpensHaveUniqueIDs(t *testing.T) {
	etcd := etcdtest.Start(t, 1)
	stores := []*Store{replica(t, etcd.Client(t, 0)), replica(t, etcd.Client(t, 0))}
	term := startTerm(t, stores[0], "w")
	const opens = 50
	ids := make([]uint64, opens)
	var running sync.WaitGroup
	for i := range ids {
		running.Go(func() {
			v, err := stores[i%2].OpenVolume(t.Context(), template("w", term.Number))
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = v.GetId()
		})
	}
	running.Wait()
	seen := map[uint64]bool{}
	for _, id := range ids {
		if seen[id] || id == 0 {
			t.Errorf("id %x twice or missing", id)
		}
		seen[id] = true
	}
	for _, s := range stores {
		listed, previous := 0, uint64(0)
		err := s.ListVolumes(t.Context(), func(v *placementv1.Volume) error {
			if v.GetId() <= previous || !seen[v.GetId()] {
				t.Errorf("listed %x after %x", v.GetId(), previous)
			}
			listed, previous = listed+1, v.GetId()
			return nil
		})
		if err != nil || listed != opens {
			t.Errorf("listed %d of %d, %v", listed, opens, err)
		}
		if n := s.Counts().GetOpening(); n != opens {
			t.Errorf("%d volumes are opening, want %d", n, opens)
		}
		if n := s.Columns()["d1"]; n != opens {
			t.Errorf("%d columns on d1, want %d", n, opens)
		}
	}
}

func TestFirstSealerDecides(t *testing.T) {
	etcd := etcdtest.Start(t, 1)
	stores := []*Store{replica(t, etcd.Client(t, 0)), replica(t, etcd.Client(t, 0))}
	opened := openVolume(t, stores[0], "w", startTerm(t, stores[0], "w").Number)
	var lengths [20]uint64
	var running sync.WaitGroup
	for i := range lengths {
		running.Go(func() {
			v, err := stores[i%2].SealVolume(t.Context(), opened.GetId(), 1, uint64(i+1)*4096)
			if err != nil {
				t.Error(err)
				return
			}
			lengths[i] = v.GetLength()
		})
	}
	running.Wait()
	for _, l := range lengths {
		if l != lengths[0] || l == 0 {
			t.Fatalf("sealers heard of the lengths %v", lengths)
		}
	}
}

// TestASealerWithAnOldMemoryDoesNotOverwrite seals on a replica whose watch stands still.
func TestASealerWithAnOldMemoryDoesNotOverwrite(t *testing.T) {
	etcd := etcdtest.Start(t, 1)
	s := replica(t, etcd.Client(t, 0))
	opened := openVolume(t, s, "w", startTerm(t, s, "w").Number)
	old := standing(t, etcd.Client(t, 0))
	sealed, err := s.SealVolume(t.Context(), opened.GetId(), 1, 4096)
	if err != nil {
		t.Fatal(err)
	}
	_, err = old.SealVolume(t.Context(), opened.GetId(), 1, 8192)
	wantReason(t, err, typesv1.Reason_REASON_UNAVAILABLE)
	sameEverywhere(t, sealed, s)
}

func TestIncarnationKeepsIDsUnique(t *testing.T) {
	etcd := etcdtest.Start(t, 1)
	s := replica(t, etcd.Client(t, 0))
	term := startTerm(t, s, "w")
	first := openVolume(t, s, "w", term.Number)
	// What a restore does: the counter is old, the incarnation is new.
	_, err := s.etcd.Txn(t.Context()).Then(
		clientv3.OpPut(incarnationKey, "2"), clientv3.OpPut(volumeKey, "0"), clientv3.OpPut(clockKey, ""),
	).Commit()
	if err != nil {
		t.Fatal(err)
	}
	second := openVolume(t, s, "w", term.Number)
	if first.GetId() != 1<<48|1 || second.GetId() != 2<<48|1 {
		t.Errorf("ids %x and %x", first.GetId(), second.GetId())
	}
}

func TestIDsRunOut(t *testing.T) {
	m := newModel()
	m.incarnation.value, m.lastVolume.value = 1, maxCounter
	if id, err := m.nextVolume(); err == nil {
		t.Errorf("id %x after the last", id)
	}
	m.lastVolume.value--
	if id, err := m.nextVolume(); err != nil || id != 1<<48|maxCounter {
		t.Errorf("the last id: %x, %v", id, err)
	}
}

// waitFor returns once memory fulfils a condition.
func waitFor(t *testing.T, s *Store, condition func(*model) bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		met := false
		s.mirror.read(func(m *model) { met = condition(m) })
		if met {
			return
		}
		select {
		case <-s.Changed():
		case <-deadline:
			t.Fatal("the awaited change does not come")
		}
	}
}
