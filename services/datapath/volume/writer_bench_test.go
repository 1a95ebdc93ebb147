package volume

import (
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/drystone-store/drystone/services/datapath/internal/memcluster"
)

// cpuSeconds is what this process used so far.
func cpuSeconds(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// forgetful chunk-servers check frames, but keep none.
func forgetful(c *memcluster.Cluster) {
	for _, n := range c.Nodes {
		n.Set(func(f *memcluster.Faults) { f.Forget = true })
	}
}

func BenchmarkPack4KiB(b *testing.B) {
	for _, clients := range []int{1, 64} {
		b.Run(strconv.Itoa(clients), func(b *testing.B) {
			h := newHarness(b, harnessOptions{
				cluster: memcluster.Options{Zones: 3, NodesPerZone: 3, VolumeBytes: 1 << 30}, before: forgetful,
			})
			defer h.stop()
			payload := randomBytes(rand.New(rand.NewPCG(1, 1)), 4096)
			check(b, h.pack(b.Context(), rs54, payload))
			hd := header("bench")
			b.ReportAllocs()
			b.ResetTimer()
			begin, before := cpuSeconds(b), h.node0()
			var left atomic.Int64
			left.Store(int64(b.N))
			var packing sync.WaitGroup
			for range clients {
				packing.Go(func() {
					for left.Add(-1) >= 0 {
						done := h.writer.Expect()
						done()
						if _, err := h.writer.Pack(b.Context(), rs54, hd, payload); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			packing.Wait()
			b.StopTimer()
			b.ReportMetric((cpuSeconds(b)-begin)*1e6/float64(b.N), "cpu-µs/op")
			b.ReportMetric(float64(b.N)/float64(max(h.node0()-before, 1)), "records/append")
		})
	}
}

func BenchmarkStream64MiB(b *testing.B) {
	const size, write = 64 * mib, 256 << 10
	for _, clients := range []int{1, 4} {
		b.Run(strconv.Itoa(clients), func(b *testing.B) {
			h := newHarness(b, harnessOptions{
				cluster: memcluster.Options{Zones: 3, NodesPerZone: 3, VolumeBytes: 1 << 30}, before: forgetful,
			})
			defer h.stop()
			chunk := randomBytes(rand.New(rand.NewPCG(1, 1)), write)
			b.SetBytes(size)
			b.ReportAllocs()
			b.ResetTimer()
			begin := cpuSeconds(b)
			var left atomic.Int64
			left.Store(int64(b.N))
			var streaming sync.WaitGroup
			for range clients {
				streaming.Go(func() {
					for left.Add(-1) >= 0 {
						hd := header("bench")
						hd.ObjectSize = size
						s, err := h.writer.Stream(b.Context(), rs54, hd)
						if err != nil {
							b.Error(err)
							return
						}
						for range size / write {
							if _, err := s.Write(chunk); err != nil {
								b.Error(err)
							}
						}
						if _, err := s.Finish(b.Context(), checksumOf(1)); err != nil {
							b.Error(err)
						}
					}
				})
			}
			streaming.Wait()
			b.StopTimer()
			gib := float64(b.N) * size / (1 << 30)
			b.ReportMetric((cpuSeconds(b)-begin)/gib, "cpu-s/GiB")
		})
	}
}
