package state

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/origin"
	"github.com/drystone-store/drystone/services/placement/internal/etcdtest"
)

// given is what a life of the cluster gave out.
type given struct{ terms, volumes []uint64 }

// live gives out a term and some volumes on each of the stores.
func live(t *testing.T, stores ...*Store) given {
	t.Helper()
	var g given
	for _, s := range stores {
		term := startTerm(t, s, "w")
		g.terms = append(g.terms, term.Number)
		for range 3 {
			g.volumes = append(g.volumes, openVolume(t, s, "w", term.Number).GetId())
		}
	}
	return g
}

// mustBeFresh checks that nothing of it was given out before, and that terms went on above all earlier ones.
func (g given) mustBeFresh(t *testing.T, before given, incarnation uint64) {
	t.Helper()
	for _, id := range g.volumes {
		if slices.Contains(before.volumes, id) || id>>counterBits != incarnation {
			t.Errorf("volume %x of incarnation %d; before there were %x", id, incarnation, before.volumes)
		}
	}
	for _, term := range g.terms {
		if slices.Contains(before.terms, term) || term>>counterBits != incarnation {
			t.Errorf("term %x of incarnation %d; before there were %x", term, incarnation, before.terms)
		}
	}
}

// runs runs a store until stop is called, which returns what Run did.
func runs(t *testing.T, etcd *clientv3.Client) (s *Store, stop func() error) {
	t.Helper()
	s, err := New(etcd, Options{Log: slog.New(slog.DiscardHandler), TermLength: time.Hour, WriterLease: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	return loaded(t, s), func() error {
		cancel()
		return <-ended
	}
}

// twoReplicas runs two that begin at the same time.
func twoReplicas(t *testing.T, etcd *etcdtest.Cluster) (a, b *Store, stop func()) {
	t.Helper()
	type running struct {
		store *Store
		stop  func() error
	}
	other := make(chan running, 1)
	client := etcd.Client(t, 0)
	go func() {
		s, stop := runs(t, client)
		other <- running{s, stop}
	}()
	a, stopA := runs(t, etcd.Client(t, 0))
	second := <-other
	return a, second.store, func() {
		if err := errors.Join(stopA(), second.stop()); err != nil {
			t.Errorf("run: %v", err)
		}
	}
}

func wantIncarnation(t *testing.T, want uint64, stores ...*Store) {
	t.Helper()
	for _, s := range stores {
		s.mirror.read(func(m *model) {
			if m.incarnation.value != want {
				t.Errorf("incarnation %d, want %d", m.incarnation.value, want)
			}
		})
	}
}

// TestNothingIsGivenOutAgainAfterARestore loses what came after a snapshot, and then, restoring the same snapshot once
// more, what came after the first restore.
func TestNothingIsGivenOutAgainAfterARestore(t *testing.T) {
	etcd := etcdtest.Start(t, 1)
	a, b, stop := twoReplicas(t, etcd)
	cluster, err := a.Cluster()
	if err != nil {
		t.Fatal(err)
	}
	kept := live(t, a, b)
	snapshot := etcdtest.Snapshot(t, etcd.Client(t, 0))
	lost := live(t, a, b)
	stop()

	etcd.Stop(0)
	etcd.Restore(t, snapshot, "first")
	etcd.Restart(t, 0)
	a, b, stop = twoReplicas(t, etcd)
	wantIncarnation(t, 2, a, b)
	if is, err := b.Cluster(); err != nil || is != cluster {
		t.Errorf("cluster %q after the restore, %v; it was %q", is, err, cluster)
	}
	for _, id := range kept.volumes {
		if _, err := a.Volume(t.Context(), id); err != nil {
			t.Errorf("a volume of the snapshot: %v", err)
		}
	}
	for _, id := range lost.volumes {
		_, err := a.Volume(t.Context(), id)
		wantReason(t, err, typesv1.Reason_REASON_NO_SUCH_VOLUME)
	}
	for _, term := range slices.Concat(kept.terms, lost.terms) {
		_, err := b.RenewTerm(t.Context(), "w", term)
		wantReason(t, err, typesv1.Reason_REASON_TERM_EXPIRED)
	}
	second := live(t, a, b)
	second.mustBeFresh(t, lost, 2)
	stop()

	// A restart is no restore.
	etcd.Stop(0)
	etcd.Restart(t, 0)
	a, b, stop = twoReplicas(t, etcd)
	wantIncarnation(t, 2, a, b)
	live(t, a, b).mustBeFresh(t, second, 2)
	stop()

	etcd.Stop(0)
	etcd.Restore(t, snapshot, "second")
	etcd.Restart(t, 0)
	a, b, stop = twoReplicas(t, etcd)
	wantIncarnation(t, 2, a, b) // the snapshot knows of one only
	live(t, a, b).mustBeFresh(t, second, 2)
	stop()
}

func TestAStateFromBeforeEtcdsIDWasKeptStaysAsItIs(t *testing.T) {
	etcd := etcdtest.Start(t, 1)
	client := etcd.Client(t, 0)
	s, stop := runs(t, client)
	before := live(t, s)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Delete(t.Context(), etcdKey); err != nil {
		t.Fatal(err)
	}
	a, b, stopBoth := twoReplicas(t, etcd)
	defer stopBoth()
	wantIncarnation(t, 1, a, b)
	if next := openVolume(t, a, "w", before.terms[0]).GetId(); next != slices.Max(before.volumes)+1 {
		t.Errorf("volume %x after %x", next, before.volumes)
	}
	kept, err := client.Get(t.Context(), etcdKey)
	if err != nil || len(kept.Kvs) != 1 || string(kept.Kvs[0].GetValue()) != hex16(kept.Header.GetClusterId()) {
		t.Errorf("%s: %v, %v", etcdKey, kept, err)
	}
}

// TestAReplicaEndsWhenAnotherEtcdAnswers restores under a replica that runs, at the address that it knows.
func TestAReplicaEndsWhenAnotherEtcdAnswers(t *testing.T) {
	t.Parallel() // most of its time it waits for the connection
	for name, call := range map[string]func(context.Context, *Store, uint64) error{
		"barrier":    func(ctx context.Context, s *Store, _ uint64) error { return s.Barrier(ctx) },
		"start term": func(ctx context.Context, s *Store, _ uint64) error { _, err := s.StartTerm(ctx, "w"); return err },
		"open volume": func(ctx context.Context, s *Store, term uint64) error {
			_, err := s.OpenVolume(ctx, template("w", term))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			etcd := etcdtest.Start(t, 1)
			s, stop := runs(t, etcd.Client(t, 0))
			g := live(t, s)
			snapshot := etcdtest.Snapshot(t, etcd.Client(t, 0))
			etcd.Stop(0)
			etcd.Restore(t, snapshot, "another")
			etcd.Restart(t, 0)
			deadline := time.After(patience)
			for ended := false; !ended; {
				if err := call(t.Context(), s, g.terms[0]); err == nil {
					t.Fatal("an answer of the other etcd was used")
				}
				select {
				case <-s.origin.Broken():
					ended = true
				case <-deadline:
					t.Fatal("the replica goes on")
				default:
				}
			}
			_, err := s.Volumes(t.Context(), g.volumes, false) // these are in memory
			wantReason(t, err, typesv1.Reason_REASON_UNAVAILABLE)
			var foreign *origin.ForeignError
			if err := stop(); !errors.As(err, &foreign) || foreign.Began == foreign.Answered {
				t.Errorf("run: %v", err)
			}
			next, stop := runs(t, etcd.Client(t, 0))
			wantIncarnation(t, 2, next)
			live(t, next).mustBeFresh(t, g, 2)
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestIncarnationsRunOut(t *testing.T) {
	b := &beginning{answered: "2", etcd: &mvccpb.KeyValue{Value: []byte("1")}}
	for value, ok := range map[string]bool{"1": true, "65534": true, "65535": false, "x": false, "": false} {
		b.incarnation = &mvccpb.KeyValue{Value: []byte(value)}
		if _, err := b.begin(0); (err == nil) != ok {
			t.Errorf("after %q: %v", value, err)
		}
	}
}
