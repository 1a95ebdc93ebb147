package volume

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/datapath/internal/memcluster"
	"github.com/drystone-store/drystone/services/kit/fault"
)

func TestPlacementDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, harnessOptions{before: delayAll(time.Millisecond)})
		defer h.stop()
		r := rand.New(rand.NewPCG(9, 10))
		write := func() error { return h.pack(t.Context(), rs54, randomBytes(r, 500)) }
		if err := write(); err != nil {
			t.Fatal(err)
		}
		h.cluster.Placement.Do(func() { h.cluster.Placement.Down = true })
		time.Sleep(h.cluster.Placement.Lease / 3)
		if err := write(); err != nil {
			t.Errorf("while the lease lasts: %v", err)
		}
		time.Sleep(h.cluster.Placement.Lease)
		begin := time.Now()
		err := write()
		if _, ok := fault.RetryAfter(err); fault.Code(err) != codes.Unavailable || !ok {
			t.Errorf("after the lease: %v, want UNAVAILABLE with a delay", err)
		}
		if took := time.Since(begin); took > currentPatience+time.Second {
			t.Errorf("the refusal took %v", took)
		}
		h.cluster.Placement.Do(func() { h.cluster.Placement.Down = false })
		time.Sleep(2 * termRetryMax)
		if err := write(); err != nil {
			t.Errorf("after placement came back: %v", err)
		}
		h.stop()
		h.verify(r)
		if n := h.open(); n != 0 {
			t.Errorf("%d volumes were left open", n)
		}
	})
}

func TestTermsRotateWithoutAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, harnessOptions{before: func(c *memcluster.Cluster) {
			for _, n := range c.Nodes {
				n.Set(func(f *memcluster.Faults) { f.Delay, f.CreateDelay = time.Millisecond, 200*time.Millisecond })
			}
		}})
		defer h.stop()
		r := rand.New(rand.NewPCG(11, 12))
		check(t, h.pack(t.Context(), rs54, randomBytes(r, 500))) // waits for a volume
		begin := time.Now()
		slowest := time.Duration(0)
		for time.Since(begin) < 25*time.Minute {
			at := time.Now()
			if err := h.pack(t.Context(), rs54, randomBytes(r, 500)); err != nil {
				t.Fatal(err)
			}
			slowest = max(slowest, time.Since(at))
			time.Sleep(7 * time.Second)
		}
		if slowest > 50*time.Millisecond {
			t.Errorf("a pack took %v", slowest)
		}
		for _, p := range h.placed {
			if p.placed.Term != p.placed.OldestTerm || p.placed.Writer != "writer-test" {
				t.Errorf("placed %+v", p.placed)
			}
		}
		if last := h.placed[len(h.placed)-1].placed.Term; last < 3 {
			t.Errorf("term %d after 25 minutes", last)
		}
		h.stop()
		h.verify(r)
		if n := h.open(); n != 0 {
			t.Errorf("%d volumes were left open", n)
		}
	})
}

func TestExpiredTermIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, harnessOptions{})
		defer h.stop()
		r := rand.New(rand.NewPCG(13, 14))
		synctest.Wait()
		h.cluster.Placement.Expire()
		if err := h.pack(t.Context(), rs54, randomBytes(r, 500)); err != nil {
			t.Fatal(err)
		}
		if term := h.placed[0].placed.Term; term != 2 {
			t.Errorf("written in term %d", term)
		}
	})
}

func TestNotEnoughDisks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, harnessOptions{})
		defer h.stop()
		for _, zone := range []string{"z0", "z1"} {
			for _, n := range h.cluster.Zone(zone) {
				n.Kill()
				h.cluster.Placement.SetState(n.Name, placementv1.NodeState_NODE_STATE_DOWN)
			}
		}
		r := rand.New(rand.NewPCG(15, 16))
		for _, write := range []func() error{
			func() error { return h.pack(t.Context(), rs54, randomBytes(r, 500)) },
			func() error { return h.stream(t.Context(), rs54, randomBytes(r, 500), 500, false) },
		} {
			begin := time.Now()
			err := write()
			retry, _ := fault.RetryAfter(err)
			if !fault.Is(err, typesv1.Reason_REASON_NOT_ENOUGH_DISKS) || fault.Code(err) != codes.Unavailable || retry <= 0 {
				t.Errorf("%v with a delay of %v, want NOT_ENOUGH_DISKS, UNAVAILABLE and a delay", err, retry)
			}
			if took := time.Since(begin); took > time.Second {
				t.Errorf("the refusal took %v", took)
			}
		}
		for _, n := range h.cluster.Nodes {
			n.Revive()
			h.cluster.Placement.SetState(n.Name, placementv1.NodeState_NODE_STATE_UP)
		}
		time.Sleep(openRetryAfter)
		if err := h.pack(t.Context(), rs54, randomBytes(r, 500)); err != nil {
			t.Errorf("after the disks came back: %v", err)
		}
	})
}

func TestRefusalsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, harnessOptions{before: func(c *memcluster.Cluster) {
			c.Placement.OpenError = fault.New(codes.InvalidArgument, typesv1.Reason_REASON_INVALID_SCHEME, "no")
		}})
		defer h.stop()
		begin := time.Now()
		for range 2 {
			if err := h.pack(t.Context(), rs54, nil); !fault.Is(err, typesv1.Reason_REASON_INVALID_SCHEME) {
				t.Errorf("a scheme that placement refuses: %v", err)
			}
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestFallbackIsReplacedWhenTheSchemeFitsAgain(t *testing.T) {
	for _, wanted := range []erasure.Scheme{rs54, {K: 4, M: 5}} { // the default, and one that placement says nothing of
		t.Run(wanted.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t, harnessOptions{})
				defer h.stop()
				node := h.cluster.Nodes[4]
				node.Kill()
				h.cluster.Placement.SetState(node.Name, placementv1.NodeState_NODE_STATE_DOWN)
				r := rand.New(rand.NewPCG(17, 18))
				write := func() string {
					if err := h.pack(t.Context(), wanted, randomBytes(r, 500)); err != nil {
						t.Fatal(err)
					}
					id := h.placed[len(h.placed)-1].placed.Extents[0].GetVolume()
					s, _ := erasure.FromProto(h.cluster.Placement.Volume(id).GetScheme())
					return s.String()
				}
				if got := write(); got == wanted.String() {
					t.Fatalf("with a node down the scheme was %s", got)
				}
				time.Sleep(2 * tendEvery)
				node.Revive()
				h.cluster.Placement.SetState(node.Name, placementv1.NodeState_NODE_STATE_UP)
				time.Sleep(fallbackAge + 5*time.Second)
				if got := write(); got != wanted.String() {
					t.Errorf("after the node came back the scheme was %s", got)
				}
				volumes := len(h.cluster.Placement.Volumes())
				time.Sleep(time.Minute)
				if now := len(h.cluster.Placement.Volumes()); now != volumes {
					t.Errorf("%d volumes were opened for nothing", now-volumes)
				}
			})
		})
	}
}

func TestIdleVolumesAreSealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, harnessOptions{})
		defer h.stop()
		r := rand.New(rand.NewPCG(19, 20))
		check(t, h.pack(t.Context(), rs54, randomBytes(r, 500)))
		check(t, h.stream(t.Context(), erasure.Scheme{K: 4, M: 2}, randomBytes(r, 500), 500, false))
		if n := h.open(); n < 3 {
			t.Errorf("%d volumes are open", n)
		}
		time.Sleep(idleAfter + 10*time.Second)
		if n := h.open(); n != 0 {
			t.Errorf("%d volumes are open after %v without a write", n, idleAfter)
		}
		if n := len(h.writer.allLanes()); n != 0 {
			t.Errorf("%d lanes are kept", n)
		}
		check(t, h.pack(t.Context(), rs54, randomBytes(r, 500)))
		h.stop()
		h.verify(r)
	})
}

func TestShutdown(t *testing.T) {
	cases := []struct {
		name   string
		fault  func(*memcluster.Cluster)
		within time.Duration
		open   int
	}{
		{"all well", func(*memcluster.Cluster) {}, 100 * time.Millisecond, 0},
		{"as many as can be lost are dead", func(c *memcluster.Cluster) {
			for _, n := range c.Nodes[:4] {
				n.Kill()
			}
		}, time.Second, 0},
		{"one is silent", func(c *memcluster.Cluster) {
			c.Nodes[0].Set(func(f *memcluster.Faults) { f.Silent = true })
		}, 3 * time.Second, 0},
		{"too few proofs", func(c *memcluster.Cluster) {
			for _, n := range c.Nodes[:5] {
				n.Kill()
			}
		}, shutdownPatience + time.Second, 2},
		{"placement is down", func(c *memcluster.Cluster) {
			c.Placement.Do(func() { c.Placement.Down = true })
		}, shutdownPatience + time.Second, 2},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t, harnessOptions{})
				defer h.stop()
				r := rand.New(rand.NewPCG(21, 22))
				check(t, h.pack(t.Context(), rs54, randomBytes(r, 500)))
				synctest.Wait()
				tc.fault(h.cluster)
				begin := time.Now()
				h.stop()
				if took := time.Since(begin); took > tc.within {
					t.Errorf("stopping took %v, want at most %v", took, tc.within)
				}
				if n := h.open(); n != tc.open {
					t.Errorf("%d volumes were left open, want %d", n, tc.open)
				}
				h.verify(r)
				if err := h.pack(t.Context(), rs54, []byte("late")); !fault.Is(err, typesv1.Reason_REASON_SHUTTING_DOWN) {
					t.Errorf("a pack after the end: %v", err)
				}
				if _, err := h.writer.Stream(t.Context(), rs54, header("late")); !fault.Is(err, typesv1.Reason_REASON_SHUTTING_DOWN) {
					t.Errorf("a stream after the end: %v", err)
				}
			})
		})
	}
}

// TestUnprovenVolumeIsLeft: with fewer than k proofs nothing is decided.
func TestSealedLength(t *testing.T) {
	proofs := func(ends ...uint64) []proof {
		var p []proof
		for i, end := range ends {
			p = append(p, proof{column: i, end: end})
		}
		return p
	}
	cases := []struct {
		name   string
		proofs []proof
		k      int
		acked  uint64
		want   uint64
		ok     bool
	}{
		{"all equal", proofs(10, 10, 10), 2, 10, 10, true},
		{"a torn append is kept when k have it", proofs(20, 20, 10), 2, 10, 20, true},
		{"and dropped when fewer have it", proofs(20, 10, 10), 2, 10, 10, true},
		{"k proofs: the shortest", proofs(20, 10), 2, 10, 10, true},
		{"too few", proofs(10), 2, 10, 0, false},
		{"none", nil, 1, 0, 0, false},
		{"an acknowledged row was lost", proofs(5, 5, 10), 2, 10, 0, false},
		{"empty volume", proofs(0, 0, 0), 2, 0, 0, true},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			got, err := sealedLength(tc.proofs, tc.k, tc.acked)
			if got != tc.want || (err == nil) != tc.ok {
				t.Errorf("%d, %v", got, err)
			}
		})
	}
}

// TestStoppingSealsAtOnce: what waits to be sealed again is not left because the writer stops in between.
func TestStoppingSealsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, harnessOptions{})
		defer h.stop()
		check(t, h.pack(t.Context(), rs54, []byte("x")))
		synctest.Wait()
		h.cluster.Placement.Do(func() { h.cluster.Placement.Down = true })
		time.Sleep(h.cluster.Placement.Lease + 9*time.Second) // several tries to seal have failed, the next is far away
		h.cluster.Placement.Do(func() { h.cluster.Placement.Down = false })
		begin := time.Now()
		h.stop()
		if took := time.Since(begin); took > time.Second {
			t.Errorf("stopping took %v", took)
		}
		if n := h.open(); n != 0 {
			t.Errorf("%d volumes were left open", n)
		}
	})
}

func TestPackGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, harnessOptions{before: func(c *memcluster.Cluster) {
			for _, n := range c.Nodes {
				n.Set(func(f *memcluster.Faults) { f.Silent = true })
			}
		}})
		defer h.stop()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		begin := time.Now()
		_, err := h.writer.Pack(ctx, rs54, header("k"), []byte("x"))
		if fault.Code(err) != codes.DeadlineExceeded || time.Since(begin) > time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}
