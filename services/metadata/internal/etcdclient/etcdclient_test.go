package etcdclient_test

import (
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/drystone-store/drystone/services/metadata/internal/etcdclient"
	"github.com/drystone-store/drystone/services/metadata/internal/etcdtest"
)

func TestMain(m *testing.M) { etcdtest.VerifyTestMain(m) }

// A client talks to one member, another one after that has stopped; different names begin at different members.
func TestPinnedWithFailover(t *testing.T) {
	cluster := etcdtest.Start(t, 3)
	client, err := etcdclient.New(cluster.Endpoints(), "replica", 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	first := member(t, client)
	for range 9 {
		if now := member(t, client); now != first {
			t.Fatalf("talked to %x, then to %x", first, now)
		}
	}
	firsts := map[uint64]bool{}
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		other, err := etcdclient.New(cluster.Endpoints(), name, 2*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		firsts[member(t, other)] = true
		other.Close()
	}
	if len(firsts) < 2 {
		t.Error("all replicas talk to the same member")
	}
	cluster.StopMember(first)
	if now := member(t, client); now == first {
		t.Fatal("a stopped member answered")
	}
}

// member is who answers.
func member(t *testing.T, client *clientv3.Client) uint64 {
	t.Helper()
	resp, err := client.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	return resp.Header.GetMemberId()
}

func TestNoEndpoints(t *testing.T) {
	if _, err := etcdclient.New(nil, "replica", time.Second); err == nil {
		t.Error("a client of nothing")
	}
}
