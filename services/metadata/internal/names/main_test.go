package names_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	"github.com/drystone-store/drystone/services/metadata/internal/etcdtest"
	"github.com/drystone-store/drystone/services/metadata/internal/head"
	"github.com/drystone-store/drystone/services/metadata/internal/head/headtest"
	"github.com/drystone-store/drystone/services/metadata/internal/hlc"
	"github.com/drystone-store/drystone/services/metadata/internal/names"
)

func TestMain(m *testing.M) { etcdtest.VerifyTestMain(m) }

const tenant = "acme"

// onMemory makes Names on memory, with a wall clock that the test moves.
func onMemory() (*names.Names, *head.Memory, *wall) {
	w := &wall{at: time.UnixMilli(1_800_000_000_000)}
	clock := hlc.New(w.now, 0)
	index := head.NewMemory(head.Options{Observe: clock.Observe})
	return names.New(index, clock, w.now), index, w
}

// wall is a wall clock that a test moves.
type wall struct{ at time.Time }

func (w *wall) now() time.Time { return w.at }

// asIs is the wrap of replica that changes nothing.
func asIs(ix head.Index) head.Index { return ix }

// replica is Names on etcd, running until the test ends, over what wrap makes of the index. Its wall clock is off by
// skew.
func replica(
	tb testing.TB, client *clientv3.Client, skew time.Duration, wrap func(head.Index) head.Index,
) (*names.Names, *head.Etcd) {
	tb.Helper()
	now := func() time.Time { return time.Now().Add(skew) }
	clock := hlc.New(now, 0)
	index, err := head.NewEtcd(client, head.Options{Observe: clock.Observe})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- index.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Errorf("run: %v", err)
		}
	})
	return names.New(wrap(index), clock, now), index
}

func mustCreate(tb testing.TB, n *names.Names, name string) *metadatav1.BucketRow {
	tb.Helper()
	b, err := n.CreateBucket(tb.Context(), tenant, name, "rs-4-2")
	if err != nil {
		tb.Fatalf("create bucket %q: %v", name, err)
	}
	return b
}

// put is a mutation without extents; its content type tells it apart.
func put(b *metadatav1.BucketRow, key, value string) *metadatav1.Mutation {
	id := headtest.ID()
	return &metadatav1.Mutation{
		BucketId: b.GetId(), Bucket: b.GetName(), Key: key,
		Row: &metadatav1.VersionRow{WriteId: id[:], ContentType: value, Size: rand.Uint64N(1 << 20)},
	}
}

func del(b *metadatav1.BucketRow, key string) *metadatav1.Mutation {
	m := put(b, key, "")
	m.Row.Size, m.Row.DeleteMarker = 0, true
	return m
}

func commit(tb testing.TB, n *names.Names, m *metadatav1.Mutation) head.Result {
	tb.Helper()
	return n.Commit(tb.Context(), []*metadatav1.Mutation{m})[0]
}

func mustCommit(tb testing.TB, n *names.Names, m *metadatav1.Mutation) head.Result {
	tb.Helper()
	r := commit(tb, n, m)
	if r.Err != nil {
		tb.Fatalf("commit %q: %v", m.GetKey(), r.Err)
	}
	return r
}
