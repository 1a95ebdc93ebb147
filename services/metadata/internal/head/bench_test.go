package head_test

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/drystone-store/drystone/services/metadata/internal/etcdtest"
	"github.com/drystone-store/drystone/services/metadata/internal/head"
	"github.com/drystone-store/drystone/services/metadata/internal/head/headtest"
)

// rowBytes is about what a row of a small object holds.
const rowBytes = 220

// concurrently runs op b.N times on that many goroutines and reports operations a second.
func concurrently(b *testing.B, clients int, op func(client, i int)) {
	b.Helper()
	b.SetParallelism((clients + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
	var next atomic.Int64
	began, used := time.Now(), cpu(b)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		client := int(next.Add(1))
		for i := 0; pb.Next(); i++ {
			op(client, i)
		}
	})
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "ops/s")
	b.ReportMetric(float64((cpu(b)-used).Microseconds())/float64(b.N), "cpu-µs/op")
}

// cpu is the CPU time of this process so far, etcd and clients included: the figure that a busy machine does not spoil.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func putRow(key string, payload []byte) head.Write {
	return head.Write{Key: key, ID: headtest.ID(), Plan: func(v head.View) (head.Plan, error) {
		row, _ := v.Get(key)
		return head.Plan{
			Puts:   []head.Put{{Key: key, Payload: payload, Version: row.Version + 1}},
			Guards: []head.Guard{{Key: head.BucketKey("b")}, {Key: head.FloorKey("w"), Below: make([]byte, 8)}},
		}, nil
	}}
}

func BenchmarkCommit(b *testing.B) {
	cluster := etcdtest.Start(b, 1)
	b.Run("grpc", func(b *testing.B) { benchmarkCommit(b, cluster.Client(b, 0)) })
	b.Run("inproc", func(b *testing.B) { benchmarkCommit(b, cluster.InProcess(b, 0)) })
}

func benchmarkCommit(b *testing.B, client *clientv3.Client) {
	e := startReplica(b, client, head.Options{})
	payload := make([]byte, rowBytes)
	for _, clients := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprint("clients=", clients), func(b *testing.B) {
			concurrently(b, clients, func(client, i int) {
				key := head.VersionKey(1, fmt.Sprintf("%03d/%05d/%08d", clients, client, i%10_000))
				if r := e.Commit(b.Context(), []head.Write{putRow(key, payload)}); r[0].Err != nil {
					b.Error(r[0].Err)
				}
			})
		})
	}
}

func BenchmarkRead(b *testing.B) {
	cluster := etcdtest.Start(b, 1)
	b.Run("grpc", func(b *testing.B) { benchmarkRead(b, cluster.Client(b, 0)) })
	b.Run("inproc", func(b *testing.B) { benchmarkRead(b, cluster.InProcess(b, 0)) })
}

func benchmarkRead(b *testing.B, client *clientv3.Client) {
	e := startReplica(b, client, head.Options{})
	const rows = 10_000
	keys := fill(b, e, rows)
	for _, clients := range []int{1, 16, 64} {
		b.Run(fmt.Sprint("clients=", clients), func(b *testing.B) {
			concurrently(b, clients, func(client, i int) {
				err := e.Read(b.Context(), func(v head.View) error {
					if _, ok := v.Get(keys[(client*977+i*31)%rows]); !ok {
						b.Error("a row is missing")
					}
					return nil
				})
				if err != nil {
					b.Error(err)
				}
			})
		})
	}
}

func BenchmarkScan1000(b *testing.B) {
	m := head.NewMemory(head.Options{})
	const rows = 100_000
	keys := fill(b, m, rows)
	_, to := head.VersionRange(1)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		n := 0
		m.Peek(func(v head.View) {
			v.Scan(keys[(i*31)%(rows-1000)], to, func(head.Row) (string, bool) {
				n++
				return "", n == 1000
			})
		})
	}
}

func fill(b *testing.B, ix head.Index, rows int) []string {
	b.Helper()
	payload := make([]byte, rowBytes)
	keys := make([]string, rows)
	var writes []head.Write
	for i := range keys {
		keys[i] = head.VersionKey(1, fmt.Sprintf("photos/2026/%08d.jpg", i))
		if writes = append(writes, putRow(keys[i], payload)); len(writes) == 1000 {
			for _, r := range ix.Commit(b.Context(), writes) {
				if r.Err != nil {
					b.Fatal(r.Err)
				}
			}
			writes = writes[:0]
		}
	}
	return keys
}
