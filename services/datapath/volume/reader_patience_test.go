package volume

import (
	"testing"
	"testing/synctest"
	"time"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// TestReadWaitsForMembersThatComeBack: more members are away than may be, but not for long, as when restarts overlap.
func TestReadWaitsForMembersThatComeBack(t *testing.T) {
	cases := map[string]struct {
		away time.Duration
		lost bool
	}{
		"a second":          {time.Second, false},
		"almost too long":   {lostPatience - 2*lostPause, false},
		"longer than it is": {lostPatience + 4*lostPause, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newFakeStore()
				store.write(t, 1, erasure.Scheme{K: 4, M: 2}, 2)
				store.ail(dead, 1, 0, 1, 4)
				back := time.AfterFunc(c.away, store.heal)
				defer back.Stop()
				b := newReaderBench(t, store, testMemory)
				e := []*typesv1.Extent{contiguous(1, 0, 8*block.Size)}
				begin := clock.Now()
				err := b.expect(t.Context(), e, 0, store.expect(e...))
				if lost := fault.Is(err, typesv1.Reason_REASON_TOO_MUCH_LOST); lost != c.lost || err != nil && !lost {
					t.Fatalf("%v, want lost %v", err, c.lost)
				}
				if took := clock.Since(begin); took > lostPatience+2*lostPause {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}
