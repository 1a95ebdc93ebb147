package head_test

import (
	"context"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/drystone-store/drystone/services/metadata/internal/etcdtest"
	"github.com/drystone-store/drystone/services/metadata/internal/head"
	"github.com/drystone-store/drystone/services/metadata/internal/head/headtest"
)

func TestMemoryContract(t *testing.T) {
	headtest.Run(t, func(_ *testing.T, o head.Options) headtest.Fixture {
		m := head.NewMemory(o)
		return headtest.Fixture{Replicas: []head.Index{m}, Purge: m.Purge}
	})
}

func TestEtcdContract(t *testing.T) {
	for name, members := range map[string]int{"one member": 1, "three members": 3} {
		t.Run(name, func(t *testing.T) {
			cluster := etcdtest.Start(t, members)
			headtest.Run(t, func(t *testing.T, o head.Options) headtest.Fixture {
				if _, err := cluster.Client(t, 0).Delete(t.Context(), head.Prefix, clientv3.WithPrefix()); err != nil {
					t.Fatal(err)
				}
				var f headtest.Fixture
				for i := range 2 {
					e := startReplica(t, cluster.Client(t, i%members), o)
					f.Replicas = append(f.Replicas, e)
					f.Purge = e.Purge
				}
				return f
			})
		})
	}
}

// startReplica runs a replica until the test ends.
func startReplica(tb testing.TB, client *clientv3.Client, o head.Options) *head.Etcd {
	tb.Helper()
	e := newReplica(tb, client, o)
	run(tb, e)
	return e
}

func newReplica(tb testing.TB, client *clientv3.Client, o head.Options) *head.Etcd {
	tb.Helper()
	e, err := head.NewEtcd(client, o)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

// run runs a replica until the test ends.
func run(tb testing.TB, e *head.Etcd) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Errorf("run: %v", err)
		}
	})
}
