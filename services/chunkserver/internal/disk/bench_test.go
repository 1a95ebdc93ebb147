package disk

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/drystone-store/drystone/services/chunkserver/internal/chunkfile"
	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
)

// Benchmarks run on a real disk: set TMPDIR to the one of interest. They report CPU-s/GiB of user and kernel time.

func benchDisk(b *testing.B) *Disk {
	b.Helper()
	path := filepath.Join(b.TempDir(), "disk")
	if err := Format(vfs.OS{}, path, testCluster); err != nil {
		b.Fatal(err)
	}
	d, err := Open(Options{FS: vfs.OS{}, Path: path, Log: slog.New(slog.DiscardHandler), OpenFiles: 64})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = d.Close(context.Background()) })
	return d
}

func cpuSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

// measure reports what a benchmark cost.
func measure(b *testing.B, bytesPerOp int) func() {
	b.Helper()
	b.SetBytes(int64(bytesPerOp))
	b.ReportAllocs()
	before := cpuSeconds()
	b.ResetTimer()
	return func() {
		b.StopTimer()
		gib := float64(b.N) * float64(bytesPerOp) / (1 << 30)
		b.ReportMetric((cpuSeconds()-before)/gib, "cpu-s/GiB")
		b.ReportMetric((cpuSeconds()-before)/float64(b.N)*1e6, "cpu-µs/op")
	}
}

// syncCounter counts syncs through the disk's own bookkeeping.
func (h *health) syncs() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.seen
}

// appender makes frames of one size for one chunk after the other.
type appender struct {
	disk   *Disk
	data   []byte
	crcs   []uint32
	volume uint64
	row    uint64
}

const benchChunk = 512 << 20

func newAppender(d *Disk, size int) *appender {
	a := &appender{disk: d, data: random(1, size), row: benchChunk}
	a.crcs = frame16(0, a.data).CRCs
	return a
}

func frame16(row uint64, data []byte) *chunkfile.Append {
	a := &chunkfile.Append{Row: row, Rows: uint32(len(data)), GranuleLog2: 16, Data: data}
	for at := 0; at < len(data); at += 1 << 16 {
		a.CRCs = append(a.CRCs, format.Checksum(data[at:min(at+1<<16, len(data))]))
	}
	return a
}

// start sends the next frame.
func (a *appender) start(b *testing.B, done func(error)) {
	b.Helper()
	if a.row+uint64(len(a.data)) > benchChunk {
		if a.volume > 0 {
			if _, err := a.disk.Fence(key(a.volume)); err != nil {
				b.Fatal(err)
			}
		}
		a.volume, a.row = a.volume+1, 0
		h := header(a.volume)
		h.Capacity = benchChunk
		if err := a.disk.Create(h); err != nil {
			b.Fatal(err)
		}
	}
	err := a.disk.Append(key(a.volume), &chunkfile.Append{
		Row: a.row, Rows: uint32(len(a.data)), GranuleLog2: 16, CRCs: a.crcs, Data: a.data, Done: done,
	})
	if err != nil {
		b.Fatal(err)
	}
	a.row += uint64(len(a.data))
}

// BenchmarkAppend: frames to one chunk, each durable when it counts, by as many writers as named.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10, 1 << 20} {
		for _, writers := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("%dKiB/%d", size>>10, writers), func(b *testing.B) {
				d := benchDisk(b)
				a := newAppender(d, size)
				slots := make(chan struct{}, writers)
				var failed atomic.Pointer[error]
				before := d.syncs()
				report := measure(b, size)
				var flying sync.WaitGroup
				for range b.N {
					slots <- struct{}{}
					flying.Add(1)
					a.start(b, func(err error) {
						if err != nil {
							failed.Store(&err)
						}
						<-slots
						flying.Done()
					})
				}
				flying.Wait()
				report()
				if err := failed.Load(); err != nil {
					b.Fatal(*err)
				}
				b.ReportMetric(float64(b.N)/float64(d.syncs()-before), "frames/sync")
			})
		}
	}
}

// BenchmarkRead: rows of a sealed chunk from the page cache, into lent memory and into new.
func BenchmarkRead(b *testing.B) {
	d := benchDisk(b)
	const size = 64 << 20
	mustCreate(b, d, 1)
	for row := uint64(0); row < size; row += format.BlockSize {
		if err := add(d, key(1), frame16(row, random(row, format.BlockSize))); err != nil {
			b.Fatal(err)
		}
	}
	if err := d.Seal(key(1), size); err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{4 << 10, 64 << 10, 1 << 20} {
		for name, lent := range map[string][]byte{"lent": make([]byte, n), "new": nil} {
			b.Run(fmt.Sprintf("%dKiB/%s", n>>10, name), func(b *testing.B) {
				rng := rand.New(rand.NewPCG(1, 1))
				report := measure(b, n)
				for range b.N {
					row := rng.Uint64N(size/uint64(n)) * uint64(n)
					if _, err := d.Read(context.Background(), key(1), row, uint32(n), lent); err != nil {
						b.Fatal(err)
					}
				}
				report()
			})
		}
	}
}

// BenchmarkCreate: a chunk, durable.
func BenchmarkCreate(b *testing.B) {
	d := benchDisk(b)
	b.ReportAllocs()
	for i := range b.N {
		mustCreate(b, d, uint64(i+1))
		if i%1000 == 999 { // open chunks are bounded
			b.StopTimer()
			for v := i - 998; v <= i+1; v++ {
				if _, err := d.Fence(key(uint64(v))); err != nil {
					b.Fatal(err)
				}
			}
			b.StartTimer()
		}
	}
}

// BenchmarkRecover: a chunk of 64 MiB that was open when the process died.
func BenchmarkRecover(b *testing.B) {
	for name, size := range map[string]int{"frames of 1 MiB": 1 << 20, "frames of 16 KiB": 16 << 10} {
		b.Run(name, func(b *testing.B) {
			d := benchDisk(b)
			const total = 64 << 20
			mustCreate(b, d, 1)
			for row := uint64(0); row < total; row += uint64(size) {
				a := frame16(row, random(row, size))
				if row+uint64(size) < total {
					a.Done = func(error) {}
					if err := d.Append(key(1), a); err != nil {
						b.Fatal(err)
					}
					continue
				}
				if err := add(d, key(1), a); err != nil {
					b.Fatal(err)
				}
			}
			c := d.chunks[key(1)]
			report := measure(b, total)
			for range b.N {
				scan, err := d.walk(c)
				if err != nil || scan.End.Row != total {
					b.Fatal(scan.End, err)
				}
			}
			report()
		})
	}
}
