package volume

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// TestStalledUploadsStopNobodyForLong: uploads whose clients send no more hold all memory of stripes. Another one is
// refused before it has begun; one that runs waits longer, but not for ever.
func TestStalledUploadsStopNobodyForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, harnessOptions{config: WriterConfig{Name: "w", StripeMemory: 20 * mib}}) // two stripes
		defer h.stop()
		r := rand.New(rand.NewPCG(41, 42))
		begin := func() *Stream {
			s, err := h.writer.Stream(t.Context(), rs54, header("k"))
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		running := begin()
		defer running.Abort()
		stripe := randomBytes(r, 5*mib)
		if _, err := running.Write(stripe[:1]); err != nil {
			t.Fatal(err)
		}
		if _, err := running.Write(stripe[:running.filling.limit-1]); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // it is durable and holds nothing
		for range 2 {
			s := begin()
			defer s.Abort()
			if _, err := s.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range []struct {
			name   string
			stream *Stream
			after  time.Duration
		}{{"a new upload", begin(), memoryPatience}, {"a running upload", running, stripePatience}} {
			defer c.stream.Abort()
			at := time.Now()
			_, err := c.stream.Write(stripe)
			if took := time.Since(at); !isOverload(err) || took != c.after {
				t.Errorf("%s: %v after %v", c.name, err, took)
			}
			if _, err := c.stream.Finish(t.Context(), nil); !isOverload(err) {
				t.Errorf("%s: finish: %v", c.name, err)
			}
		}
		if err := h.leaks(); err == nil {
			t.Error("the stalled uploads hold nothing")
		}
	})
}

// TestRefusedUploadHoldsNothing: what was refused for want of memory leaves nothing behind.
func TestRefusedUploadHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, harnessOptions{})
		defer h.stop()
		all := h.writer.memory.Budget()
		if err := h.writer.memory.Acquire(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		if err := h.stream(t.Context(), rs54, []byte("x"), 1, false); !isOverload(err) {
			t.Errorf("without memory: %v", err)
		}
		h.writer.memory.Release(all)
		r := rand.New(rand.NewPCG(43, 44))
		check(t, h.stream(t.Context(), rs54, randomBytes(r, 6*mib), mib, true))
		h.stop()
		h.verify(r)
		if err := h.leaks(); err != nil {
			t.Error(err)
		}
	})
}
