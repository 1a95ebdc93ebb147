package head

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func testMetrics(t *testing.T) *metrics {
	t.Helper()
	m, err := newMetrics(prometheus.NewRegistry(), newTable(testOptions()))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Constraint 1: who arrives while a round is in flight must not share it: that round may have looked before.
func TestBarrierJoinsOnlyRoundsToCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rounds := 0
		b := newBarrier(func(context.Context) error {
			rounds++
			time.Sleep(time.Second)
			return nil
		}, testMetrics(t))
		ctx, cancel := context.WithCancel(t.Context())
		go b.run(ctx)
		began := time.Now()
		pass := func(after, want time.Duration) {
			time.Sleep(after)
			if err := b.pass(ctx); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took != want {
				t.Errorf("who came at %v passed at %v, want %v", after, took, want)
			}
		}
		go pass(0, time.Second)
		for range 100 {
			go pass(500*time.Millisecond, 2*time.Second)
		}
		pass(1500*time.Millisecond, 3*time.Second)
		if rounds != 3 {
			t.Errorf("%d rounds, want 3", rounds)
		}
		cancel()
		synctest.Wait()
		if err := b.pass(t.Context()); err == nil {
			t.Error("passed a barrier that has stopped")
		}
	})
}

func TestBarrierHandsErrorsToAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		b := newBarrier(func(context.Context) error { return broken }, testMetrics(t))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go b.run(ctx)
		for range 3 {
			if err := b.pass(ctx); !errors.Is(err, broken) {
				t.Errorf("error %v", err)
			}
		}
		late, leave := context.WithTimeout(ctx, time.Second)
		defer leave()
		stuck := newBarrier(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, testMetrics(t))
		go stuck.run(ctx)
		if err := stuck.pass(late); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}
