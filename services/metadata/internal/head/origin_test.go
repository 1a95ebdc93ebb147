package head

import (
	"context"
	"errors"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/origin"
	"github.com/drystone-store/drystone/services/metadata/internal/etcdclient"
	"github.com/drystone-store/drystone/services/metadata/internal/etcdtest"
)

// A replica has the members of two clusters in its list, as after a restore beside members with old data. When the one
// that it uses goes, it ends instead of taking the other's rows and revisions for its own.
func TestTwoClustersBehindOneList(t *testing.T) {
	key := VersionKey(1, "k")
	for name, call := range map[string]func(context.Context, *Etcd) error{
		"read":  func(ctx context.Context, e *Etcd) error { return e.Read(ctx, func(View) error { return nil }) },
		"write": func(ctx context.Context, e *Etcd) error { return e.Commit(ctx, []Write{set(key, "late", 3)})[0].Err },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of its time etcd ends
			ours, other := etcdtest.Start(t, 1), etcdtest.Start(t, 1)
			client, err := etcdclient.New(append(ours.Endpoints(), other.Endpoints()...), "m", time.Second)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { client.Close() })
			if etcdID(t, client) != etcdID(t, ours.Client(t, 0)) {
				ours, other = other, ours // the name begins there
			}
			apply(t, start(t, other.Client(t, 0), Options{Name: "theirs"}), set(key, "theirs", 1))
			e, err := NewEtcd(client, Options{})
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- e.Run(t.Context()) }()
			apply(t, e, set(key, "ours", 2))

			ours.Restart(t, 0, func() { callUntilItEnds(t, e, call, ended) })
		})
	}
}

// callUntilItEnds calls a replica, whose answers may be errors only, until its Run does, as it should.
func callUntilItEnds(t *testing.T, e *Etcd, call func(context.Context, *Etcd) error, ended <-chan error) {
	t.Helper()
	for {
		err := call(t.Context(), e)
		if !fault.Is(err, typesv1.Reason_REASON_UNAVAILABLE, typesv1.Reason_REASON_OUTCOME_UNKNOWN,
			typesv1.Reason_REASON_SHUTTING_DOWN) {
			t.Errorf("the caller hears %v", err)
		}
		select {
		case err := <-ended:
			var foreign *origin.ForeignError
			if !errors.As(err, &foreign) {
				t.Errorf("run: %v", err)
			}
			return
		default:
		}
	}
}

func etcdID(t *testing.T, client *clientv3.Client) uint64 {
	t.Helper()
	answer, err := client.Get(t.Context(), clockKey)
	if err != nil {
		t.Fatal(err)
	}
	return answer.Header.GetClusterId()
}
