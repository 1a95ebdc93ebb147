package volume

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/internal/memcluster"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// patience is how soon a write must succeed after a node or a zone went.
const patience = 5 * time.Second

// TestWritesGoOn breaks the cluster under writes; each write must succeed in time and read back.
func TestWritesGoOn(t *testing.T) {
	diskFull := func(*chunkv1.AppendRequest) error {
		return fault.New(codes.ResourceExhausted, typesv1.Reason_REASON_DISK_FULL, "full")
	}
	cases := []struct {
		name  string
		fault func(*memcluster.Cluster)
		// within bounds each write; scheme is that of the last volume.
		within time.Duration
		scheme string
		// reported are the disks that placement hears of; nil: it depends on what is noticed first.
		reported []string
	}{
		{"node killed", func(c *memcluster.Cluster) { c.Node("z0n1").Kill() }, time.Second, "rs-4-4", []string{"z0n1-d0"}},
		{"node dies within a frame", func(c *memcluster.Cluster) {
			c.Node("z1n0").Set(func(f *memcluster.Faults) { f.Torn = true })
		}, time.Second, "rs-4-4", []string{"z1n0-d0"}},
		{"zone killed", func(c *memcluster.Cluster) {
			for _, n := range c.Zone("z2") {
				n.Kill()
			}
		}, time.Second, "rs-2-4", []string{"z2n0-d0", "z2n1-d0", "z2n2-d0"}},
		{"node silent", func(c *memcluster.Cluster) {
			c.Node("z0n1").Set(func(f *memcluster.Faults) { f.Silent = true })
		}, 1500 * time.Millisecond, "rs-4-4", []string{"z0n1-d0"}},
		{"zone silent", func(c *memcluster.Cluster) {
			for _, n := range c.Zone("z2") {
				n.Set(func(f *memcluster.Faults) { f.Silent = true })
			}
		}, 1500 * time.Millisecond, "rs-2-4", []string{"z2n0-d0", "z2n1-d0", "z2n2-d0"}},
		{"disk full", func(c *memcluster.Cluster) {
			c.Node("z0n1").Set(func(f *memcluster.Faults) {
				f.Append = diskFull
				f.Create = func(*chunkv1.CreateChunkRequest) error { return diskFull(nil) }
			})
		}, time.Second, "rs-4-4", []string{"z0n1-d0"}},
		{"row mismatch", func(c *memcluster.Cluster) {
			left := 1
			c.Node("z0n1").Set(func(f *memcluster.Faults) {
				f.Append = func(*chunkv1.AppendRequest) error {
					if left--; left >= 0 {
						return fault.New(codes.FailedPrecondition, typesv1.Reason_REASON_ROW_MISMATCH, "scripted")
					}
					return nil
				}
			})
		}, time.Second, "rs-5-4", []string{}},
		{"node restarted", func(c *memcluster.Cluster) {
			c.Node("z0n1").Kill()
			c.Node("z0n1").Revive()
		}, time.Second, "", nil},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t, harnessOptions{before: delayAll(2 * time.Millisecond)})
				defer h.stop()
				r := rand.New(rand.NewPCG(3, 4))
				write := func() {
					t.Helper()
					begin := time.Now()
					if err := h.pack(t.Context(), rs54, randomBytes(r, 5000)); err != nil {
						t.Fatalf("pack: %v", err)
					}
					if took := time.Since(begin); took > tc.within {
						t.Errorf("a pack took %v, want at most %v", took, tc.within)
					}
					begin = time.Now()
					if err := h.stream(t.Context(), rs54, randomBytes(r, 7<<20), 1<<20, false); err != nil {
						t.Fatalf("stream: %v", err)
					}
					if took := time.Since(begin); took > patience {
						t.Errorf("a stream took %v, want at most %v", took, patience)
					}
				}
				write()
				synctest.Wait()
				tc.fault(h.cluster)
				write()
				write()
				time.Sleep(3 * time.Second)
				synctest.Wait()
				if schemes := h.schemes(); tc.scheme != "" && schemes[len(schemes)-1] != tc.scheme {
					t.Errorf("volumes were opened with %v, want %s at the end", schemes, tc.scheme)
				}
				reported := h.cluster.Placement.Reported()
				slices.Sort(reported)
				if tc.reported != nil && !slices.Equal(reported, tc.reported) {
					t.Errorf("reported %v, want %v", reported, tc.reported)
				}
				h.stop()
				h.verify(r)
				if err := h.leaks(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// delayAll makes every append take so long.
func delayAll(d time.Duration) func(*memcluster.Cluster) {
	return func(c *memcluster.Cluster) {
		for _, n := range c.Nodes {
			n.Set(func(f *memcluster.Faults) { f.Delay = d })
		}
	}
}

// TestStandbyTakesOver: a volume that fails costs no opening of another one.
func TestStandbyTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const durable, opening = 2 * time.Millisecond, 300 * time.Millisecond
		h := newHarness(t, harnessOptions{before: func(c *memcluster.Cluster) {
			for _, n := range c.Nodes {
				n.Set(func(f *memcluster.Faults) { f.Delay, f.CreateDelay = durable, opening })
			}
		}})
		defer h.stop()
		check(t, h.pack(t.Context(), rs54, []byte("x")))
		check(t, h.stream(t.Context(), rs54, []byte("x"), 1, false))
		time.Sleep(2 * opening)
		for range 3 {
			active := map[uint64]bool{}
			for _, l := range h.writer.allLanes() {
				v, err := l.current(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				active[v.entry.GetId()] = true
			}
			h.cluster.Nodes[2].Set(func(f *memcluster.Faults) {
				f.Append = func(r *chunkv1.AppendRequest) error {
					if active[r.GetChunk().GetVolume()] {
						return fault.New(codes.FailedPrecondition, typesv1.Reason_REASON_CHUNK_FENCED, "scripted")
					}
					return nil
				}
			})
			begin := time.Now()
			check(t, h.pack(t.Context(), rs54, []byte("x")))
			check(t, h.stream(t.Context(), rs54, []byte("x"), 1, false))
			if took := time.Since(begin); took != 4*durable {
				t.Errorf("a pack and a stream, each appended twice, took %v, want %v", took, 4*durable)
			}
			time.Sleep(2 * opening)
		}
		h.stop()
		h.verify(rand.New(rand.NewPCG(1, 1)))
	})
}

// TestBatchMovesToSmallerStripes: a batch that was on its way to stripes of 5 MiB ends in stripes of 2 MiB, and what
// gathered behind it is not forgotten.
func TestBatchMovesToSmallerStripes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, harnessOptions{before: delayAll(5 * time.Millisecond)})
		defer h.stop()
		check(t, h.pack(t.Context(), rs54, []byte("x")))
		var packing sync.WaitGroup
		for i := range 60 {
			payload := randomBytes(rand.New(rand.NewPCG(1, uint64(i))), 240_000)
			packing.Go(func() { check(t, h.pack(t.Context(), rs54, payload)) })
		}
		time.Sleep(time.Millisecond) // a batch is on its way, others gather
		for _, n := range h.cluster.Zone("z1") {
			n.Kill()
		}
		begin := time.Now()
		packing.Wait()
		if took := time.Since(begin); took > patience {
			t.Errorf("the packs took %v", took)
		}
		if schemes := h.schemes(); schemes[len(schemes)-1] != "rs-2-4" {
			t.Errorf("volumes were opened with %v", schemes)
		}
		h.stop()
		h.verify(rand.New(rand.NewPCG(1, 100)))
	})
}

// TestLateMembersAreAvoided: when one member of a silent zone is found dead, the next volume does not try the others.
func TestLateMembersAreAvoided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, harnessOptions{before: delayAll(2 * time.Millisecond)})
		defer h.stop()
		check(t, h.pack(t.Context(), rs54, []byte("x")))
		zone := h.cluster.Zone("z2")
		for _, n := range zone {
			n.Set(func(f *memcluster.Faults) { f.Silent = true })
		}
		const found = 900 * time.Millisecond
		time.AfterFunc(found, zone[0].Kill)
		begin := time.Now()
		check(t, h.pack(t.Context(), rs54, []byte("x")))
		if took := time.Since(begin); took > found+100*time.Millisecond {
			t.Errorf("the pack took %v", took)
		}
	})
}
