package hlc_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/metadata/internal/hlc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wall is a wall clock that a test moves.
type wall struct{ at time.Time }

func (w *wall) now() time.Time { return w.at }

func TestVersionLayout(t *testing.T) {
	v := hlc.Version(0x123456789ab, 0xcde, 0xf0)
	if v != 0x123456789abcdef0 {
		t.Fatalf("version = %x", v)
	}
	if got := hlc.Millis(v); got != 0x123456789ab {
		t.Fatalf("millis = %x", got)
	}
}

func TestMintFollowsWallTime(t *testing.T) {
	w := &wall{at: time.UnixMilli(1_800_000_000_000)}
	c := hlc.New(w.now, 7)
	first, err := c.Mint(0)
	if err != nil {
		t.Fatal(err)
	}
	if want := hlc.Version(1_800_000_000_000, 0, 7); first != want {
		t.Fatalf("first = %x, want %x", first, want)
	}
	second, err := c.Mint(0)
	if err != nil {
		t.Fatal(err)
	}
	if want := hlc.Version(1_800_000_000_000, 1, 7); second != want {
		t.Fatalf("second = %x, want %x", second, want)
	}
}

func TestFarStampsAreParkedAndRefused(t *testing.T) {
	w := &wall{at: time.UnixMilli(1_800_000_000_000)}
	c := hlc.New(w.now, 0)
	far := hlc.Version(w.at.Add(hlc.MaxAhead+time.Second).UnixMilli(), 0, 0)
	near := hlc.Version(w.at.Add(hlc.MaxAhead-time.Second).UnixMilli(), 0, 0)

	c.Observe(far)
	if v, err := c.Mint(0); err != nil || hlc.Millis(v) != w.at.UnixMilli() {
		t.Fatalf("after a parked stamp: version %x, error %v", v, err)
	}
	if _, err := c.Mint(far); !fault.Is(err, typesv1.Reason_REASON_UNAVAILABLE) {
		t.Fatalf("above a far stamp: error %v", err)
	}
	if v, err := c.Mint(near); err != nil || v <= near {
		t.Fatalf("above a near stamp: version %x, error %v", v, err)
	}
}

// Constraints 1 to 3 under any sequence of jumps, observations and mints.
func TestClockUnderJumps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &wall{at: time.UnixMilli(1_800_000_000_000)}
		c := hlc.New(w.now, uint8(rapid.IntRange(0, 255).Draw(t, "region")))
		var last, observed uint64
		limit := func() uint64 { return hlc.Version(w.at.Add(hlc.MaxAhead).UnixMilli(), 0xfff, 0xff) }
		stamp := func(name string) uint64 {
			offset := time.Duration(rapid.Int64Range(-3*int64(time.Hour), 3*int64(time.Hour)).Draw(t, name))
			return hlc.Version(w.at.Add(offset).UnixMilli(), uint16(rapid.IntRange(0, 0xfff).Draw(t, "logical")), 9)
		}
		t.Repeat(map[string]func(*rapid.T){
			"jump": func(t *rapid.T) {
				w.at = w.at.Add(time.Duration(rapid.Int64Range(-2*int64(time.Hour), 2*int64(time.Hour)).Draw(t, "jump")))
			},
			"observe": func(*rapid.T) {
				v := stamp("observed")
				c.Observe(v)
				if v>>8 <= hlc.Version(w.at.Add(hlc.MaxAhead).UnixMilli(), 0, 0)>>8 {
					observed = max(observed, v)
				}
			},
			"mint": func(t *rapid.T) {
				above := stamp("above")
				v, err := c.Mint(above)
				if err != nil {
					if max(above, last, observed)>>8 < hlc.Version(w.at.Add(hlc.MaxAhead).UnixMilli(), 0, 0)>>8 {
						t.Fatalf("refused without need: %v", err)
					}
					return
				}
				if v <= last || v>>8 <= above>>8 || v>>8 <= observed>>8 || v > limit() {
					t.Fatalf("minted %x: last %x, above %x, observed %x, limit %x", v, last, above, observed, limit())
				}
				last = v
			},
		})
	})
}
