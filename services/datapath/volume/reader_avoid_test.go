package volume

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// TestBlame: an error speaks against as little as possible, so that one bad disk does not keep readers from a node and
// one bad chunk not from a disk.
func TestBlame(t *testing.T) {
	chunk := chunkKey{node: "n", disk: "d", volume: 1, generation: 2, column: 3, attempt: 4}
	sibling, otherDisk, otherNode := chunk, chunk, chunk
	sibling.column = 7
	otherDisk.disk, otherDisk.column = "e", 7
	otherNode.node, otherNode.disk = "m", "e"
	err := func(code codes.Code, reason typesv1.Reason) error { return fault.New(code, reason, "x") }
	cases := map[string]struct {
		cause                     error
		chunk, sibling, otherDisk bool
	}{
		"unavailable":   {err(codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE), true, true, true},
		"breaker open":  {err(codes.Unavailable, typesv1.Reason_REASON_BREAKER_OPEN), true, true, true},
		"disk failed":   {err(codes.Unavailable, typesv1.Reason_REASON_DISK_FAILED), true, true, false},
		"no such disk":  {err(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_DISK), true, true, false},
		"late":          {errLate, true, true, false},
		"timed out":     {context.DeadlineExceeded, true, true, false},
		"no such chunk": {err(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_CHUNK), true, false, false},
		"stale":         {err(codes.FailedPrecondition, typesv1.Reason_REASON_CHUNK_STALE), true, false, false},
		"corrupt":       {err(codes.DataLoss, typesv1.Reason_REASON_CHUNK_CORRUPT), false, false, false},
		"overloaded":    {err(codes.ResourceExhausted, typesv1.Reason_REASON_OVERLOADED), false, false, false},
		"a bug":         {errors.New("x"), false, false, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			a := newAvoided(time.Second)
			a.blame(chunk, c.cause)
			got := [4]bool{a.has(chunk, true), a.has(sibling, true), a.has(otherDisk, true), a.has(otherNode, true)}
			if want := [4]bool{c.chunk, c.sibling, c.otherDisk, false}; got != want {
				t.Errorf("avoids chunk, sibling, other disk, other node: %v, want %v", got, want)
			}
			a.clear(chunk)
			if a.has(chunk, true) || a.size.Load() != 0 {
				t.Error("still avoided after it answered")
			}
		})
	}
}

// TestProbe: when the time is over one reader tries, and only one that will ask.
func TestProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAvoided(time.Second)
		chunk := chunkKey{node: "n", disk: "d"}
		a.blame(chunk, errLate)
		time.Sleep(avoidFor - 1)
		if !a.has(chunk, true) {
			t.Error("tried too early")
		}
		time.Sleep(time.Nanosecond)
		if !a.has(chunk, false) {
			t.Error("somebody who will not ask was told that it may be back")
		}
		if a.has(chunk, true) {
			t.Error("nobody may try")
		}
		if !a.has(chunk, true) {
			t.Error("a second one tries at the same time")
		}
		time.Sleep(time.Second)
		if a.has(chunk, true) {
			t.Error("nobody may try after the first one did not come back")
		}
	})
}

// TestAvoidedIsBounded: failures of ever new chunks do not fill the memory, and make room as they age.
func TestAvoidedIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAvoided(time.Second)
		stale := fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_CHUNK, "x")
		for i := range 2 * avoidMost {
			a.blame(chunkKey{disk: "d", node: "n", volume: uint64(i)}, stale)
		}
		if n := a.size.Load(); n != avoidMost {
			t.Errorf("%d remembered, want %d", n, avoidMost)
		}
		time.Sleep(avoidFor + 1)
		last := chunkKey{disk: "d", node: "n", volume: 1 << 40}
		a.blame(last, stale)
		if n := a.size.Load(); n != 1 || !a.has(last, true) {
			t.Errorf("%d remembered after the old ones aged, want the new one", n)
		}
	})
}
