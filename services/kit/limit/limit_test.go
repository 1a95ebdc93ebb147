package limit_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"pgregory.net/rapid"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/limit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newLimiter(t *testing.T, slots, queue int, r prometheus.Registerer) *limit.Limiter {
	t.Helper()
	l, err := limit.NewLimiter(limit.LimiterOptions{Name: "l", Slots: slots, Queue: queue, Metrics: r})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func newBytes(t *testing.T, budget int64, r prometheus.Registerer) *limit.Bytes {
	t.Helper()
	b, err := limit.NewBytes(limit.BytesOptions{Name: "b", Budget: budget, Metrics: r})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestLimiterQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, 1, 1, nil)
		if err := l.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		waited := make(chan error, 1)
		go func() { waited <- l.Acquire(t.Context()) }()
		synctest.Wait()

		err := l.Acquire(t.Context())
		if _, ok := fault.RetryAfter(err); fault.Code(err) != codes.ResourceExhausted || !fault.Is(err, typesv1.Reason_REASON_OVERLOADED) || !ok {
			t.Errorf("beyond the queue: %v", err)
		}
		if l.TryAcquire() {
			t.Error("TryAcquire took a slot that was not free")
		}
		l.Release()
		if err := <-waited; err != nil {
			t.Errorf("the one that waited: %v", err)
		}
		l.Release()
		if !l.TryAcquire() {
			t.Error("a free slot was not given")
		}
	})
}

func TestLimiterWaitEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, 1, 1, nil)
		if err := l.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 3 { // who gave up must not stay in the queue
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := l.Acquire(ctx); fault.Code(err) != codes.DeadlineExceeded {
				t.Errorf("got %v", err)
			}
			cancel()
		}
	})
}

func TestLimiterIsFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, 1, 10, nil)
		if err := l.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var order []int
		for i := range 5 {
			go func() {
				if err := l.Acquire(t.Context()); err != nil {
					t.Error(err)
				}
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				l.Release()
			}()
			synctest.Wait()
		}
		l.Release()
		synctest.Wait()
		if diff := cmp.Diff([]int{0, 1, 2, 3, 4}, order); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
	})
}

func TestReleaseWithoutAcquirePanics(t *testing.T) {
	for name, release := range map[string]func(){
		"limiter": newLimiter(t, 1, 0, nil).Release,
		"bytes":   func() { newBytes(t, 10, nil).Release(1) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			release()
		})
	}
}

// A large request is served in its turn, however many small ones come after it.
func TestBytesAreServedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBytes(t, 10, nil)
		if err := b.Acquire(t.Context(), 6); err != nil {
			t.Fatal(err)
		}
		large := make(chan error, 1)
		go func() { large <- b.Acquire(t.Context(), 8) }()
		synctest.Wait()
		if b.TryAcquire(1) {
			t.Error("a small request overtook a large one")
		}
		b.Release(6)
		if err := <-large; err != nil {
			t.Error(err)
		}
		if !b.TryAcquire(2) || b.TryAcquire(1) {
			t.Error("the budget does not add up")
		}
	})
}

// A request above the budget waits until it is alone, and then runs.
func TestBytesClamp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBytes(t, 10, nil)
		if err := b.Acquire(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		got := make(chan error, 1)
		go func() { got <- b.Acquire(t.Context(), 1000) }()
		synctest.Wait()
		if len(got) != 0 {
			t.Fatal("it did not wait")
		}
		if b.TryAcquire(1) {
			t.Error("somebody overtook who waits")
		}
		b.Release(1)
		if err := <-got; err != nil {
			t.Fatal(err)
		}
		if b.TryAcquire(1) {
			t.Error("it is not alone")
		}
		b.Release(1000)
		if !b.TryAcquire(10) {
			t.Error("the budget is not whole again")
		}
	})
}

func TestBytesWaitEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBytes(t, 10, nil)
		if err := b.Acquire(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.Acquire(ctx, 1); fault.Code(err) != codes.DeadlineExceeded {
			t.Errorf("got %v", err)
		}
		if err := b.Acquire(ctx, 0); err != nil {
			t.Errorf("nothing costs nothing: %v", err)
		}
		b.Release(10)
		if !b.TryAcquire(10) {
			t.Error("who gave up kept bytes")
		}
	})
}

// Whatever is asked for and given back, the bytes given out never exceed the budget and all come back.
func TestBytesNeverOverrun(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		budget := rapid.Int64Range(1, 100).Draw(t, "budget")
		b, err := limit.NewBytes(limit.BytesOptions{Name: "b", Budget: budget})
		if err != nil {
			t.Fatal(err)
		}
		var held []int64
		sum := int64(0)
		for _, n := range rapid.SliceOf(rapid.Int64Range(-5, 150)).Draw(t, "requests") {
			if n < 0 && len(held) > 0 {
				b.Release(held[0])
				sum -= max(0, min(held[0], budget))
				held = held[1:]
				continue
			}
			if b.TryAcquire(n) {
				held = append(held, n)
				sum += max(0, min(n, budget))
			}
			if sum > budget {
				t.Fatalf("%d of %d bytes given out", sum, budget)
			}
		}
		for _, n := range held {
			b.Release(n)
		}
		if !b.TryAcquire(budget) {
			t.Fatal("bytes were lost")
		}
	})
}

// Who draws on a part that was reserved does not wait behind those who draw on the rest, and the other way round.
func TestBytesReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := prometheus.NewPedanticRegistry()
		b := newBytes(t, 10, r)
		part, err := b.Reserve(2)
		if err != nil {
			t.Fatal(err)
		}
		if b.Budget() != 8 || part.Budget() != 2 {
			t.Errorf("budgets of %d and %d", b.Budget(), part.Budget())
		}
		if err := b.Acquire(t.Context(), 100); err != nil { // clamped to what is left
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		waited := make(chan error, 1)
		go func() { waited <- b.Acquire(ctx, 1) }()
		synctest.Wait()
		if err := part.Acquire(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]float64{
			"drystone_byte_budget_used_bytes": 10, "drystone_byte_budget_bytes": 10, "drystone_byte_budget_waiting": 1,
		} {
			if got := value(t, r, name); got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
		if _, err := b.Reserve(1); err == nil {
			t.Error("bytes in use were reserved")
		}
		cancel()
		if err := <-waited; fault.Code(err) != codes.Canceled {
			t.Errorf("who waited for the rest: %v", err)
		}
		part.Release(2)
		b.Release(100)
		if used := value(t, r, "drystone_byte_budget_used_bytes"); used != 0 {
			t.Errorf("%v bytes are in use", used)
		}
		for _, n := range []int64{-1, 0, 8, 9} {
			if _, err := b.Reserve(n); err == nil {
				t.Errorf("%d of 8 bytes were reserved", n)
			}
		}
	})
}

func TestMetrics(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	l, b := newLimiter(t, 2, 0, r), newBytes(t, 10, r)
	if !l.TryAcquire() || !b.TryAcquire(4) {
		t.Fatal("nothing free")
	}
	for name, want := range map[string]float64{
		"drystone_limiter_in_use": 1, "drystone_byte_budget_used_bytes": 4, "drystone_byte_budget_bytes": 10,
	} {
		if got := value(t, r, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if problems, err := testutil.GatherAndLint(r); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	if _, err := limit.NewLimiter(limit.LimiterOptions{Name: "l", Slots: 1, Metrics: r}); err == nil {
		t.Error("one name was given twice")
	}
}

func value(t *testing.T, g prometheus.Gatherer, name string) float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Errorf("no metric %s", name)
	return 0
}

func TestBadSizes(t *testing.T) {
	for _, o := range []limit.LimiterOptions{{Slots: 0}, {Slots: 1, Queue: -1}} {
		if _, err := limit.NewLimiter(o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
	if _, err := limit.NewBytes(limit.BytesOptions{}); err == nil {
		t.Error("an empty budget was accepted")
	}
}

func BenchmarkLimiter(b *testing.B) {
	l, err := limit.NewLimiter(limit.LimiterOptions{Name: "l", Slots: 4})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		_ = l.Acquire(b.Context())
		l.Release()
	}
}
