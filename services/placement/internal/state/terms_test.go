package state

import (
	"log/slog"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/placement/internal/etcdtest"
)

func TestTermsGrowOverAllWritersAndReplicas(t *testing.T) {
	etcd := etcdtest.Start(t, 1)
	a, b := replica(t, etcd.Client(t, 0)), replica(t, etcd.Client(t, 0))
	var last uint64
	for i := range 10 {
		s := []*Store{a, b}[i%2]
		term := startTerm(t, s, "w")
		if term.Number <= last {
			t.Fatalf("term %d after %d", term.Number, last)
		}
		if term.Lease != time.Hour || term.Length != time.Hour {
			t.Fatalf("term lasts %v, its lease %v", term.Length, term.Lease)
		}
		last = term.Number
	}
}

func TestRenewTerm(t *testing.T) {
	etcd := etcdtest.Start(t, 1)
	a, b := replica(t, etcd.Client(t, 0)), replica(t, etcd.Client(t, 0))
	term := startTerm(t, a, "w")
	for _, s := range []*Store{a, b} {
		if left, err := s.RenewTerm(t.Context(), "w", term.Number); err != nil || left != time.Hour {
			t.Errorf("renewed for %v, %v", left, err)
		}
	}
	_, err := a.RenewTerm(t.Context(), "somebody else", term.Number)
	wantReason(t, err, typesv1.Reason_REASON_TERM_EXPIRED)
	_, err = a.RenewTerm(t.Context(), "w", term.Number+1)
	wantReason(t, err, typesv1.Reason_REASON_TERM_EXPIRED)

	before, err := a.etcd.Get(t.Context(), Prefix)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.RenewTerm(t.Context(), "w", term.Number); err != nil {
		t.Fatal(err)
	}
	after, err := a.etcd.Get(t.Context(), Prefix)
	if err != nil {
		t.Fatal(err)
	}
	if before.Header.GetRevision() != after.Header.GetRevision() {
		t.Error("a renewal wrote to etcd")
	}
}

func TestTermEndsWithItsLease(t *testing.T) {
	etcd := etcdtest.Start(t, 1)
	s := loaded(t, unloaded(t, etcd.Client(t, 0), time.Second))
	term := startTerm(t, s, "w")
	// Nobody renews; the watch tells of the key's end.
	waitFor(t, s, func(m *model) bool { return len(m.writers) == 0 })
	_, err := s.RenewTerm(t.Context(), "w", term.Number)
	wantReason(t, err, typesv1.Reason_REASON_TERM_EXPIRED)
	_, err = s.OpenVolume(t.Context(), template("w", term.Number))
	wantReason(t, err, typesv1.Reason_REASON_TERM_EXPIRED)
	if next := startTerm(t, s, "w"); next.Number <= term.Number {
		t.Errorf("term %d after %d", next.Number, term.Number)
	}
}

// TestOpenVolumeComparesTheLease opens on a replica whose watch stands still, under a term that has ended.
func TestOpenVolumeComparesTheLease(t *testing.T) {
	etcd := etcdtest.Start(t, 1)
	s := replica(t, etcd.Client(t, 0))
	term := startTerm(t, s, "w")
	old := standing(t, etcd.Client(t, 0))
	if _, err := old.etcd.Revoke(t.Context(), old.mirror.model.writers[term.Number].lease); err != nil {
		t.Fatal(err)
	}
	_, err := old.OpenVolume(t.Context(), template("w", term.Number))
	wantReason(t, err, typesv1.Reason_REASON_UNAVAILABLE)
	_, err = s.OpenVolume(t.Context(), template("w", term.Number))
	wantReason(t, err, typesv1.Reason_REASON_TERM_EXPIRED)
	if err := s.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := s.Counts().GetOpening(); n != 0 {
		t.Errorf("%d volumes were opened", n)
	}
}

// standing is a replica that is loaded and does not watch.
func standing(t *testing.T, etcd *clientv3.Client) *Store {
	t.Helper()
	s, err := New(etcd, Options{
		Log: slog.New(slog.DiscardHandler), TermLength: time.Hour, WriterLease: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTermLengthCountsFromWhenItWasSeen(t *testing.T) {
	s, err := New(nil, Options{Log: slog.New(slog.DiscardHandler), TermLength: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	m := newModel()
	old, young := time.Now().Add(-time.Minute), time.Now().Add(-time.Second)
	m.writers[1] = writer{name: "w", seen: old}
	m.writers[2] = writer{name: "w", seen: young}
	_, err = s.termIn(m, "w", 1)
	wantReason(t, err, typesv1.Reason_REASON_TERM_EXPIRED)
	if _, err := s.termIn(m, "w", 2); err != nil {
		t.Errorf("a term within its length: %v", err)
	}
	// A reload does not make terms younger.
	s.mirror.swap(m, 1)
	again := newModel()
	again.writers[1] = writer{name: "w", seen: time.Now()}
	s.mirror.swap(again, 2)
	_, err = s.termIn(s.mirror.model, "w", 1)
	wantReason(t, err, typesv1.Reason_REASON_TERM_EXPIRED)
}
