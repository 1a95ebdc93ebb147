package names_test

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/metadata/internal/etcdtest"
	"github.com/drystone-store/drystone/services/metadata/internal/names"
)

// small is what the front-door commits for a small object.
func small(b *metadatav1.BucketRow, key string) *metadatav1.Mutation {
	m := put(b, key, "image/jpeg")
	m.OldestTerm = 7
	m.Row.Writer, m.Row.Term = "frontdoor-0", 7
	m.Row.Extents = []*typesv1.Extent{{Volume: 4711, Offset: 123 << 20, Length: 4096, Run: 4096}}
	m.Row.Checksum = &typesv1.Checksum{Kind: typesv1.ChecksumKind_CHECKSUM_KIND_CRC64NVME, Value: make([]byte, 8)}
	m.Row.UserMetadata = map[string]string{"camera": "x100"}
	return m
}

// concurrently runs op b.N times on that many goroutines and reports operations a second and CPU time of the process,
// etcd and clients included, an operation: the figure that a busy machine spoils least.
func concurrently(b *testing.B, clients int, op func(client, i int)) {
	b.Helper()
	cpu := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	b.SetParallelism((clients + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
	var next atomic.Int64
	began, used := time.Now(), cpu()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		client := int(next.Add(1))
		for i := 0; pb.Next(); i++ {
			op(client, i)
		}
	})
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "ops/s")
	b.ReportMetric(float64((cpu()-used).Microseconds())/float64(b.N), "cpu-µs/op")
}

// onEtcd runs a benchmark over gRPC and in process.
func onEtcd(b *testing.B, bench func(*testing.B, *clientv3.Client)) {
	b.Helper()
	cluster := etcdtest.Start(b, 1)
	b.Run("grpc", func(b *testing.B) { bench(b, cluster.Client(b, 0)) })
	b.Run("inproc", func(b *testing.B) { bench(b, cluster.InProcess(b, 0)) })
}

func BenchmarkCommit(b *testing.B) {
	onEtcd(b, func(b *testing.B, client *clientv3.Client) {
		n, _ := replica(b, client, 0, asIs)
		bucket := mustCreate(b, n, "bucket")
		for _, clients := range []int{1, 16, 64, 256} {
			b.Run(fmt.Sprint("clients=", clients), func(b *testing.B) {
				run := time.Now().UnixNano()
				concurrently(b, clients, func(client, i int) {
					m := small(bucket, fmt.Sprintf("photos/%d/%03d/%08d.jpg", run, client, i))
					if r := n.Commit(b.Context(), []*metadatav1.Mutation{m}); r[0].Err != nil {
						b.Error(r[0].Err)
					}
				})
			})
		}
	})
}

// BenchmarkCommitCoalesced is how front-doors commit: one request of 64 mutations after the other.
func BenchmarkCommitCoalesced(b *testing.B) {
	onEtcd(b, func(b *testing.B, client *clientv3.Client) {
		n, _ := replica(b, client, 0, asIs)
		bucket := mustCreate(b, n, "bucket")
		run, mutations := 0, make([]*metadatav1.Mutation, 64)
		began := time.Now()
		for b.Loop() {
			run++
			for i := range mutations {
				mutations[i] = small(bucket, fmt.Sprintf("photos/%08d/%03d.jpg", run, i))
			}
			for _, r := range n.Commit(b.Context(), mutations) {
				if r.Err != nil {
					b.Error(r.Err)
				}
			}
		}
		b.ReportMetric(float64(64*run)/time.Since(began).Seconds(), "commits/s")
	})
}

func BenchmarkGetVersion(b *testing.B) {
	onEtcd(b, func(b *testing.B, client *clientv3.Client) {
		n, _ := replica(b, client, 0, asIs)
		fill(b, n)
		for _, clients := range []int{1, 16, 64} {
			b.Run(fmt.Sprint("clients=", clients), func(b *testing.B) {
				concurrently(b, clients, func(client, i int) {
					if _, err := n.GetVersion(b.Context(), "bucket", name((client*977+i*31)%filled), 0); err != nil {
						b.Error(err)
					}
				})
			})
		}
	})
}

func BenchmarkListVersions1000(b *testing.B) {
	n, _, _ := onMemory()
	fill(b, n)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		page, err := n.ListVersions(b.Context(), names.ListQuery{Bucket: "bucket", StartAfter: name(i * 31 % (filled - 2000)), Limit: 1000})
		if err != nil || len(page.Versions) != 1000 {
			b.Fatal(len(page.Versions), err)
		}
	}
}

// BenchmarkListPrefixes1000 rolls 10,000 keys up to 1,000 prefixes.
func BenchmarkListPrefixes1000(b *testing.B) {
	n, _, _ := onMemory()
	fill(b, n)
	b.ReportAllocs()
	for b.Loop() {
		page, err := n.ListVersions(b.Context(), names.ListQuery{Bucket: "bucket", Prefix: "photos/", Delimiter: "/", Limit: 1000})
		if err != nil || len(page.Prefixes) != 1000 {
			b.Fatal(len(page.Prefixes), err)
		}
	}
}

const filled = 10_000

func name(i int) string { return fmt.Sprintf("photos/%04d/%08d.jpg", i/10, i) }

// fill puts `filled` objects.
func fill(b *testing.B, n *names.Names) {
	b.Helper()
	bucket := mustCreate(b, n, "bucket")
	mutations := make([]*metadatav1.Mutation, 0, 1000)
	for i := range filled {
		if mutations = append(mutations, small(bucket, name(i))); len(mutations) < cap(mutations) {
			continue
		}
		for _, r := range n.Commit(b.Context(), mutations) {
			if r.Err != nil {
				b.Fatal(r.Err)
			}
		}
		mutations = mutations[:0]
	}
}
