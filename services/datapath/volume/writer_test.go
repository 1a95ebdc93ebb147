package volume

import (
	"math/rand/v2"
	"testing"
)

func TestPackAndStreamReadBack(t *testing.T) {
	h := newHarness(t, harnessOptions{})
	defer h.stop()
	r := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{0, 1, 4096, 65536, 65537, 262144} {
		if err := h.pack(t.Context(), rs54, randomBytes(r, size)); err != nil {
			t.Fatalf("packing %d bytes: %v", size, err)
		}
	}
	const mib = 1 << 20
	for _, size := range []int{0, 1, mib, 5 * mib, 5*mib - 1000, 5*mib + 1, 13 * mib, 20 * mib} {
		for _, announce := range []bool{false, true} {
			if err := h.stream(t.Context(), rs54, randomBytes(r, size), 100_000, announce); err != nil {
				t.Fatalf("streaming %d bytes: %v", size, err)
			}
		}
	}
	h.stop()
	h.verify(r)
	if err := h.leaks(); err != nil {
		t.Error(err)
	}
	if n := h.open(); n != 0 {
		t.Errorf("%d volumes were left open", n)
	}
}
