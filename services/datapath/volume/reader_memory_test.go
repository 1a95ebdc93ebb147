package volume

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/kit/limit"
)

// zeros is a volume of any size that holds nothing but zeros, so its parity is zeros too.
type zeros struct {
	volume *placementv1.Volume
	// lost are columns that nobody can read.
	lost map[uint32]error
}

func (z zeros) Volume(context.Context, uint64) (*placementv1.Volume, error) { return z.volume, nil }

func (z zeros) Refresh(context.Context, uint64) (*placementv1.Volume, error) { return z.volume, nil }

// Read leaves dst alone: in a pool through which nothing but zeros goes it holds zeros already.
func (z zeros) Read(_ context.Context, _ *placementv1.Member, ref *chunkv1.ChunkRef, _ uint64, dst []byte) ([]byte, error) {
	return dst, z.lost[ref.GetColumn()]
}

// peak is a budget that remembers how much was taken of it at most.
type peak struct {
	*limit.Bytes
	used, most atomic.Int64
}

func (p *peak) Acquire(ctx context.Context, n int64) error {
	err := p.Bytes.Acquire(ctx, n)
	if err == nil {
		p.add(n)
	}
	return err
}

func (p *peak) TryAcquire(n int64) bool {
	ok := p.Bytes.TryAcquire(n)
	if ok {
		p.add(n)
	}
	return ok
}

func (p *peak) add(n int64) {
	used := p.used.Add(n)
	for {
		most := p.most.Load()
		if used <= most || p.most.CompareAndSwap(most, used) {
			return
		}
	}
}

func (p *peak) Release(n int64) {
	p.used.Add(-n)
	p.Bytes.Release(n)
}

// TestReadMemoryBound: 5 GiB go through a few MiB.
func TestReadMemoryBound(t *testing.T) {
	scheme := erasure.Scheme{K: 5, M: 4}
	rot := map[uint32]error{1: errors.New("rot"), 4: errors.New("rot")}
	cases := map[string]struct {
		length int
		budget int64
		lost   map[uint32]error
		most   int64
	}{
		"healthy":             {5 << 30, 64 << 20, nil, 2 * 5 << 20},
		"healthy, tight":      {5 << 30, 6 << 20, nil, 6 << 20},
		"two columns damaged": {1 << 30, 64 << 20, rot, 2 * 9 << 20},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			source := zeros{volume: newFakeStore().write(t, 1, scheme, 1), lost: c.lost}
			bytes, err := limit.NewBytes(limit.BytesOptions{Name: "reads", Budget: c.budget})
			if err != nil {
				t.Fatal(err)
			}
			memory := &peak{Bytes: bytes}
			pool := new(block.Pool)
			r, err := NewReader(source, source, ReaderOptions{Memory: memory, Pool: pool})
			if err != nil {
				t.Fatal(err)
			}
			runtime.GC()
			var before, now runtime.MemStats
			runtime.ReadMemStats(&before)
			var heap uint64
			read := 0
			err = r.Read(t.Context(), []*typesv1.Extent{contiguous(1, 300, uint64(c.length))}, 0, int64(c.length), func(p []byte) error {
				read += len(p)
				if read%(256<<20) < len(p) {
					runtime.GC() // what is left is in use, or was a moment ago
					runtime.ReadMemStats(&now)
					heap = max(heap, now.HeapAlloc-min(now.HeapAlloc, before.HeapAlloc))
				}
				return nil
			})
			if err != nil || read != c.length {
				t.Fatalf("%d bytes, %v", read, err)
			}
			if most := memory.most.Load(); most > c.most {
				t.Errorf("took %d MiB of the budget, want at most %d", most>>20, c.most>>20)
			}
			// The pool keeps what was released until the collector has run twice, and makes 6 MiB at a time; under the race
			// detector it forgets some at random.
			if limit := uint64(3*c.most + 24<<20); heap > limit {
				t.Errorf("the heap grew by %d MiB, want at most %d", heap>>20, limit>>20)
			}
			if memory.used.Load() != 0 || pool.Outstanding() != 0 {
				t.Errorf("%d bytes and %d buffers leaked", memory.used.Load(), pool.Outstanding())
			}
		})
	}
}

// TestConcurrentReadsShareTheBudget: many degraded reads at once on a budget that does not suffice for two of them all
// end, whatever they hold while they want more.
func TestConcurrentReadsShareTheBudget(t *testing.T) {
	for _, budget := range []int64{1 << 20, 12 << 20, 40 << 20} {
		store := newFakeStore()
		store.write(t, 1, erasure.Scheme{K: 5, M: 4}, 4)
		store.ail(corrupt, 1, 0, 3)
		b := newReaderBench(t, store, budget)
		e := []*typesv1.Extent{contiguous(1, 700, 18*block.Size)}
		want := store.expect(e...)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		group, ctx := errgroup.WithContext(ctx)
		for range 6 {
			group.Go(func() error {
				at := 0
				return b.Read(ctx, e, 0, int64(len(want)), func(p []byte) error {
					if string(p) != string(want[at:at+len(p)]) {
						return errors.New("bytes differ")
					}
					at += len(p)
					return nil
				})
			})
		}
		if err := group.Wait(); err != nil {
			t.Errorf("budget of %d MiB: %v", budget>>20, err)
		}
		if err := b.leaks(); err != nil {
			t.Error(err)
		}
	}
}

// TestReadBeyondTheBudget: a decode that needs more than the whole budget runs alone instead of never. The second piece
// does not cover the rows of the first, so both other columns have to be read in full.
func TestReadBeyondTheBudget(t *testing.T) {
	store := newFakeStore()
	store.write(t, 1, erasure.Scheme{K: 2, M: 1}, 1)
	store.ail(corrupt, 1, 0)
	b := newReaderBench(t, store, 1<<20)
	e := []*typesv1.Extent{contiguous(1, 300, block.Size)}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := b.expect(ctx, e, 0, store.expect(e...)); err != nil {
		t.Fatal(err)
	}
}

// TestSlowClientsDoNotBlockEachOther: a client that stops reading holds its parts and nothing else's.
func TestSlowClientsDoNotBlockEachOther(t *testing.T) {
	store := newFakeStore()
	store.write(t, 1, erasure.Scheme{K: 2, M: 1}, 4)
	b := newReaderBench(t, store, 12<<20)
	e := []*typesv1.Extent{contiguous(1, 0, 8*block.Size)}
	stuck, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	ended := make(chan error, 1)
	go func() {
		ended <- b.Read(t.Context(), e, 0, 8*block.Size, func([]byte) error {
			once.Do(func() { close(stuck) })
			<-release
			return nil
		})
	}()
	<-stuck
	err := b.Read(t.Context(), e, 0, 8*block.Size, func([]byte) error { return nil })
	close(release)
	if err := errors.Join(err, <-ended); err != nil {
		t.Fatal(err)
	}
}
