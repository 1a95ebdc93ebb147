package head

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/metadata/internal/etcdtest"
)

// Only what etcd says before it proposes a transaction may be called a refusal (constraint 8).
func TestRefusal(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want typesv1.Reason // unspecified: the outcome is open
	}{
		{"no space", rpctypes.ErrNoSpace, typesv1.Reason_REASON_OVERLOADED},
		{"too many requests", rpctypes.ErrTooManyRequests, typesv1.Reason_REASON_OVERLOADED},
		{"too large", rpctypes.ErrRequestTooLarge, typesv1.Reason_REASON_INTERNAL},
		{"too many operations", rpctypes.ErrTooManyOps, typesv1.Reason_REASON_INTERNAL},
		{"wrapped", fmt.Errorf("commit: %w", rpctypes.ErrNoSpace), typesv1.Reason_REASON_OVERLOADED},
		{"status", status.Error(codes.PermissionDenied, ""), typesv1.Reason_REASON_INTERNAL},
		{"timeout", rpctypes.ErrTimeout, typesv1.Reason_REASON_UNSPECIFIED},
		{"leader changed", rpctypes.ErrLeaderChanged, typesv1.Reason_REASON_UNSPECIFIED},
		{"stopped", rpctypes.ErrStopped, typesv1.Reason_REASON_UNSPECIFIED},
		{"deadline", context.DeadlineExceeded, typesv1.Reason_REASON_UNSPECIFIED},
		{"connection", status.Error(codes.Unavailable, "transport is closing"), typesv1.Reason_REASON_UNSPECIFIED},
		{"anything else", errors.New("else"), typesv1.Reason_REASON_UNSPECIFIED},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := refusal(c.err); fault.Reason(got) != c.want || (got == nil) != (c.want == typesv1.Reason_REASON_UNSPECIFIED) {
				t.Errorf("%v → %v, want %v", c.err, got, c.want)
			}
		})
	}
}

// silentKV is etcd that answers transactions with an error, a number of times; they apply all the same, unless it is
// full.
type silentKV struct {
	clientv3.KV
	silent int
	err    error
}

func (k *silentKV) Txn(ctx context.Context) clientv3.Txn { return &silentTxn{k.KV.Txn(ctx), k} }

type silentTxn struct {
	clientv3.Txn
	kv *silentKV
}

func (x *silentTxn) If(cs ...clientv3.Cmp) clientv3.Txn   { x.Txn = x.Txn.If(cs...); return x }
func (x *silentTxn) Then(ops ...clientv3.Op) clientv3.Txn { x.Txn = x.Txn.Then(ops...); return x }
func (x *silentTxn) Else(ops ...clientv3.Op) clientv3.Txn { x.Txn = x.Txn.Else(ops...); return x }

func (x *silentTxn) Commit() (*clientv3.TxnResponse, error) {
	if errors.Is(x.kv.err, rpctypes.ErrNoSpace) {
		return nil, x.kv.err
	}
	resp, err := x.Txn.Commit()
	if err == nil && x.kv.silent != 0 {
		x.kv.silent--
		return nil, x.kv.err
	}
	return resp, err
}

// Lost answers: the same transaction again finds the write applied, with the revision and version of the first.
func TestLostAnswers(t *testing.T) {
	client := etcdtest.Start(t, 1).Client(t, 0)
	e, err := NewEtcd(client, Options{})
	if err != nil {
		t.Fatal(err)
	}
	kv := &silentKV{KV: client.KV, err: rpctypes.ErrTimeout}
	e.submitter.etcd = kv
	launch(t, e)
	key := VersionKey(1, "k")
	apply(t, e, set(key, "0", 1))
	kv.silent = 3
	write := set(key, "1", 2)
	r := apply(t, e, write)
	var row Row
	if err := e.Read(t.Context(), func(v View) error { row, _ = v.Get(key); return nil }); err != nil {
		t.Fatal(err)
	}
	if row.Mod != r.Revision || string(row.Payload) != "1" {
		t.Errorf("row %+v, result %+v", row, r)
	}

	// An etcd that never answers: unknown, within the caller's time, and later tries find it.
	kv.silent = -1
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	mute := set(key, "2", 3)
	mute.Since = row.Mod
	if r := e.Commit(ctx, []Write{mute})[0]; !fault.Is(r.Err, typesv1.Reason_REASON_OUTCOME_UNKNOWN) {
		t.Errorf("without any answer: %+v", r)
	}
}

// A full etcd refuses before it proposes anything: the caller hears so, at once.
func TestFullEtcd(t *testing.T) {
	client := etcdtest.Start(t, 1).Client(t, 0)
	e, err := NewEtcd(client, Options{})
	if err != nil {
		t.Fatal(err)
	}
	e.submitter.etcd = &silentKV{KV: client.KV, err: rpctypes.ErrNoSpace}
	launch(t, e)
	if r := e.Commit(t.Context(), []Write{set(VersionKey(1, "k"), "", 1)})[0]; !fault.Is(r.Err, typesv1.Reason_REASON_OVERLOADED) {
		t.Errorf("result %+v", r)
	}
}
