package volume

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/internal/memcluster"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// TestSheddingBlamesNobody: a node that refuses work because it has too much is asked again after a moment. It is neither
// avoided nor reported, and no volume is opened without it.
func TestSheddingBlamesNobody(t *testing.T) {
	// shed refuses twice.
	shed := func() func() error {
		left := 2
		return func() error {
			if left--; left >= 0 {
				return fault.New(codes.ResourceExhausted, typesv1.Reason_REASON_OVERLOADED, "scripted")
			}
			return nil
		}
	}
	cases := map[string]func(*memcluster.Faults){
		"creates": func(f *memcluster.Faults) {
			refuse := shed()
			f.Create = func(*chunkv1.CreateChunkRequest) error { return refuse() }
		},
		"appends": func(f *memcluster.Faults) {
			refuse := shed()
			f.Append = func(*chunkv1.AppendRequest) error { return refuse() }
		},
		"streams": func(f *memcluster.Faults) { f.Stream = shed() },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t, harnessOptions{before: func(c *memcluster.Cluster) { c.Node("z0n1").Set(change) }})
				defer h.stop()
				r := rand.New(rand.NewPCG(31, 32))
				begin := time.Now()
				check(t, h.pack(t.Context(), rs54, randomBytes(r, 5000)))
				if took := time.Since(begin); took < shedBackoff || took > time.Second {
					t.Errorf("the write took %v", took)
				}
				synctest.Wait()
				if disks := h.writer.suspects.list(); len(disks) != 0 {
					t.Errorf("%v are avoided", disks)
				}
				if disks := h.cluster.Placement.Reported(); len(disks) != 0 {
					t.Errorf("%v were reported", disks)
				}
				for _, scheme := range h.schemes() {
					if scheme != "rs-5-4" {
						t.Errorf("a volume of %s was opened", scheme)
					}
				}
				h.stop()
				h.verify(r)
			})
		})
	}
}

// TestOwnDeadlineBlamesNobody: who asks with little time left, or gives up, learns nothing of the members.
func TestOwnDeadlineBlamesNobody(t *testing.T) {
	cases := []struct {
		name    string
		timeout time.Duration
		cancel  time.Duration // 0: never
		blamed  []string
	}{
		{"enough time", openPatience, 0, []string{"z0n1-d0"}},
		{"a moment", 50 * time.Millisecond, 0, nil},
		{"less than a create may take", 1200 * time.Millisecond, 0, nil},
		{"shutdown", openPatience, 20 * time.Millisecond, nil},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t, harnessOptions{})
				defer h.stop()
				check(t, h.pack(t.Context(), rs54, []byte("x"))) // a term began
				synctest.Wait()
				l, err := h.writer.lane(typesv1.VolumeClass_VOLUME_CLASS_STREAM, rs54)
				if err != nil {
					t.Fatal(err)
				}
				h.cluster.Node("z0n1").Set(func(f *memcluster.Faults) { f.Silent = true })
				ctx, cancel := context.WithTimeout(t.Context(), tc.timeout)
				defer cancel()
				if tc.cancel > 0 {
					time.AfterFunc(tc.cancel, cancel)
				}
				if _, err := h.writer.tryOpen(ctx, l); !errors.Is(err, errMembers) && !errors.Is(err, errNobody) {
					t.Fatalf("opening: %v", err)
				}
				synctest.Wait()
				if disks := h.cluster.Placement.Reported(); !slices.Equal(disks, tc.blamed) {
					t.Errorf("%v were reported, want %v", disks, tc.blamed)
				}
				if disks := h.writer.suspects.list(); !slices.Equal(disks, tc.blamed) && len(tc.blamed)+len(disks) > 0 {
					t.Errorf("%v are avoided, want %v", disks, tc.blamed)
				}
			})
		})
	}
	// A member may see the deadline a moment before the caller's context ends.
	late := fault.New(codes.DeadlineExceeded, typesv1.Reason_REASON_DEADLINE_EXCEEDED, "scripted")
	if !excused(t.Context(), fairPatience-1, late) || excused(t.Context(), fairPatience, late) {
		t.Error("the time that a call had does not count")
	}
}
