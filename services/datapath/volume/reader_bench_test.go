package volume

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/datapath/erasure"
)

// cpu is what this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRead reads 40 MiB over the fake, whose part is one copy of each byte. "cpu-s/GiB" is the figure to look at;
// "copy" is what that copy alone costs.
func BenchmarkRead(b *testing.B) {
	scheme := erasure.Scheme{K: 5, M: 4}
	const length = 40 * block.Size
	for name, lost := range map[string][]int{"healthy": nil, "lost1": {1}, "lost4": {0, 1, 2, 3}} {
		b.Run(name, func(b *testing.B) {
			store := newFakeStore()
			store.write(b, 1, scheme, 8)
			for _, c := range lost {
				store.unhealthy["node-"+disk(1, c)] = true
			}
			r := newReaderBench(b, store, testMemory)
			extents := []*typesv1.Extent{contiguous(1, 0, length)}
			b.SetBytes(length)
			b.ReportAllocs()
			began := cpu()
			for b.Loop() {
				if err := r.Read(b.Context(), extents, 0, length, func([]byte) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric((cpu()-began).Seconds()/float64(b.N)*(1<<30)/length, "cpu-s/GiB")
		})
	}
	b.Run("copy", func(b *testing.B) {
		src, dst := make([]byte, length), make([]byte, 10*block.Size)
		b.SetBytes(length)
		began := cpu()
		for b.Loop() {
			for at := 0; at < length; at += block.Size {
				copy(dst[at%len(dst):][:block.Size], src[at:])
			}
		}
		b.ReportMetric((cpu()-began).Seconds()/float64(b.N)*(1<<30)/length, "cpu-s/GiB")
	})
}

// instant answers every read at once with what is in dst.
type instant struct{ volume *placementv1.Volume }

func (i instant) Volume(context.Context, uint64) (*placementv1.Volume, error) { return i.volume, nil }

func (i instant) Refresh(context.Context, uint64) (*placementv1.Volume, error) { return i.volume, nil }

func (i instant) Read(_ context.Context, _ *placementv1.Member, _ *chunkv1.ChunkRef, _ uint64, dst []byte) ([]byte, error) {
	return dst, nil
}

// BenchmarkSmallRead is what the Reader itself adds to the read of a small object.
func BenchmarkSmallRead(b *testing.B) {
	for _, size := range []int{4 << 10, 256 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			store := newFakeStore()
			source := instant{volume: store.write(b, 1, erasure.Scheme{K: 5, M: 4}, 1)}
			bench := newReaderBench(b, store, testMemory)
			r, err := NewReader(source, source, ReaderOptions{Memory: bench.memory, Pool: bench.pool})
			if err != nil {
				b.Fatal(err)
			}
			extents := []*typesv1.Extent{{Volume: 1, Offset: 300, Length: uint64(size), Run: uint32(size)}}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := r.Read(b.Context(), extents, 0, int64(size), func([]byte) error { return nil }); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
