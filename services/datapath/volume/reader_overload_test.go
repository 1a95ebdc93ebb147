package volume

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// stalled are reads whose clients take nothing.
type stalled struct {
	reading sync.WaitGroup
	release chan struct{}
	mu      sync.Mutex
	errs    []error
}

// stall begins reads of an extent and waits until each has stalled before it has taken the given piece, or has failed.
func stall(b *readerBench, readers, piece int, e *typesv1.Extent) *stalled {
	s := &stalled{release: make(chan struct{})}
	for range readers {
		s.reading.Go(func() {
			at := 0
			err := b.Read(context.Background(), []*typesv1.Extent{e}, 0, int64(e.GetLength()), func([]byte) error {
				if at == piece {
					<-s.release
				}
				at++
				time.Sleep(time.Millisecond) // a client is slower than the chunks in memory
				return nil
			})
			s.mu.Lock()
			defer s.mu.Unlock()
			s.errs = append(s.errs, err)
		})
	}
	time.Sleep(time.Duration(piece+1) * time.Millisecond)
	synctest.Wait()
	return s
}

// end lets the clients go on and returns what came of their reads.
func (s *stalled) end() []error {
	close(s.release)
	s.reading.Wait()
	return s.errs
}

func isOverload(err error) bool {
	_, delay := fault.RetryAfter(err)
	return delay && fault.Code(err) == codes.Unavailable && fault.Is(err, typesv1.Reason_REASON_OVERLOADED)
}

// TestStalledReadersStopNobody: clients that take nothing hold all memory for large reads. Small reads are served at
// once, also when they have to decode; large ones are refused in time, be it before their first byte or later.
func TestStalledReadersStopNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore()
		store.write(t, 1, erasure.Scheme{K: 2, M: 1}, 4)
		b := newReaderBench(t, store, 16<<20)
		large := contiguous(1, 0, 8*block.Size)
		s := stall(b, 30, 0, large)
		begin := time.Now()
		small := []*typesv1.Extent{contiguous(1, 4096, 8<<10)}
		for range 2 {
			got := 0
			err := b.Read(t.Context(), small, 0, 8<<10, func(p []byte) error { got += len(p); return nil })
			if err != nil || got != 8<<10 || time.Since(begin) > 0 {
				t.Errorf("a small read: %d bytes, %v after %v", got, err, time.Since(begin))
			}
			store.ail(corrupt, 1, 0)
		}
		store.heal()
		err := b.Read(t.Context(), []*typesv1.Extent{large}, 0, 8*block.Size, func([]byte) error { return nil })
		if took := time.Since(begin); !isOverload(err) || took != memoryPatience {
			t.Errorf("a large read: %v after %v", err, took)
		}
		refused := 0
		for _, err := range s.end() {
			if err != nil {
				refused++
			}
			if err != nil && !isOverload(err) {
				t.Errorf("a stalled read: %v", err)
			}
		}
		if refused == 0 || refused == 30 {
			t.Errorf("%d of 30 reads were refused", refused)
		}
		if err := b.leaks(); err != nil {
			t.Error(err)
		}
	})
}

// TestSmallReadsAreBounded: they have a part of the memory, and wait for it no longer than others do.
func TestSmallReadsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore()
		store.write(t, 1, erasure.Scheme{K: 2, M: 1}, 1)
		b := newReaderBench(t, store, 4<<20)
		const all = 4<<20/smallRead + 1
		s := stall(b, all, 0, contiguous(1, 0, smallRead))
		if b.memory.TryAcquire(1) {
			t.Error("small reads do not use memory that nobody wants")
		}
		time.Sleep(memoryPatience)
		refused := 0
		for _, err := range s.end() {
			if isOverload(err) {
				refused++
			} else if err != nil {
				t.Error(err)
			}
		}
		if refused != 1 {
			t.Errorf("%d of %d reads were refused, want 1", refused, all)
		}
		if err := b.leaks(); err != nil {
			t.Error(err)
		}
	})
}

// TestEmittedPiecesAreGivenBack: what a client has taken it does not hold, nor what was read for decoding only.
func TestEmittedPiecesAreGivenBack(t *testing.T) {
	for name, lost := range map[string][]int{"healthy": nil, "decoded": {1}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newFakeStore()
				store.write(t, 1, erasure.Scheme{K: 5, M: 4}, 1)
				store.ail(corrupt, 1, lost...)
				b := newReaderBench(t, store, 64<<20)
				s := stall(b, 1, 3, contiguous(1, 0, 5*block.Size))
				if held := b.memory.Budget() - free(b); held != 2*block.Size {
					t.Errorf("with two of five pieces to go %d bytes are held", held)
				}
				if n := b.pool.Outstanding(); n != 2 {
					t.Errorf("with two of five pieces to go %d buffers are held", n)
				}
				for _, err := range s.end() {
					if err != nil {
						t.Error(err)
					}
				}
				if err := b.leaks(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// free finds out how much of a budget is free, in whole 64 KiB.
func free(b *readerBench) int64 {
	for n := b.memory.Budget(); n > 0; n -= 64 << 10 {
		if b.memory.TryAcquire(n) {
			b.memory.Release(n)
			return n
		}
	}
	return 0
}
