package names_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/metadata/internal/etcdtest"
	"github.com/drystone-store/drystone/services/metadata/internal/head"
	"github.com/drystone-store/drystone/services/metadata/internal/head/headtest"
	"github.com/drystone-store/drystone/services/metadata/internal/names"
)

func ignoreProto() cmp.Option { return protocmp.Transform() }

func wantReason(t *testing.T, err error, want typesv1.Reason) {
	t.Helper()
	if fault.Reason(err) != want || (err == nil) != (want == typesv1.Reason_REASON_UNSPECIFIED) {
		t.Errorf("error %v, want %v", err, want)
	}
}

func TestCreateBucket(t *testing.T) {
	n, _, w := onMemory()
	first := mustCreate(t, n, "bucket")
	want := &metadatav1.BucketRow{
		Name: "bucket", Id: first.GetId(), Tenant: tenant, Scheme: "rs-4-2", CreatedMs: w.at.UnixMilli(),
		State: metadatav1.BucketState_BUCKET_STATE_OPEN,
	}
	if diff := cmp.Diff(want, first, ignoreProto()); diff != "" {
		t.Errorf("new bucket (-want +got):\n%s", diff)
	}
	w.at = w.at.Add(time.Minute)
	again, err := n.CreateBucket(t.Context(), tenant, "bucket", "rs-8-4")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, again, ignoreProto()); diff != "" {
		t.Errorf("the tenant's own bucket (-want +got):\n%s", diff)
	}
	_, err = n.CreateBucket(t.Context(), "other", "bucket", "rs-4-2")
	wantReason(t, err, typesv1.Reason_REASON_ACCESS_DENIED)

	got, revision, err := n.GetBucket(t.Context(), "bucket")
	if err != nil || revision == 0 {
		t.Errorf("get: revision %d, error %v", revision, err)
	}
	if diff := cmp.Diff(first, got, ignoreProto()); diff != "" {
		t.Errorf("get (-want +got):\n%s", diff)
	}
	_, _, err = n.GetBucket(t.Context(), "none")
	wantReason(t, err, typesv1.Reason_REASON_NO_SUCH_BUCKET)
}

// Constraint 1: a bucket of the same name has another id, and the old id stays taken.
func TestBucketIDsAreUsedOnce(t *testing.T) {
	n, index, _ := onMemory()
	first := mustCreate(t, n, "bucket")
	if err := n.DeleteBucket(t.Context(), tenant, "bucket"); err != nil {
		t.Fatal(err)
	}
	second := mustCreate(t, n, "bucket")
	if first.GetId() == second.GetId() {
		t.Error("the id was used again")
	}
	index.Peek(func(v head.View) {
		for _, b := range []*metadatav1.BucketRow{first, second} {
			if row, ok := v.Get(head.BucketIDKey(b.GetId())); !ok || string(row.Payload) != "bucket" {
				t.Errorf("id %x is not taken: %q", b.GetId(), row.Payload)
			}
		}
	})
	r := commit(t, n, put(first, "late", "")) // constraint 2
	wantReason(t, r.Err, typesv1.Reason_REASON_NO_SUCH_BUCKET)
}

func TestListBuckets(t *testing.T) {
	n, _, _ := onMemory()
	for i := range 5 {
		mustCreate(t, n, fmt.Sprint("mine-", i))
	}
	if _, err := n.CreateBucket(t.Context(), "acmf", "mine-0-theirs", "rs-4-2"); err != nil {
		t.Fatal(err)
	}
	if err := n.DeleteBucket(t.Context(), tenant, "mine-1"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, tenant, after string
		limit               int
		want                []string
		more                bool
	}{
		{"all", tenant, "", 10, []string{"mine-0", "mine-2", "mine-3", "mine-4"}, false},
		{"exactly all", tenant, "", 4, []string{"mine-0", "mine-2", "mine-3", "mine-4"}, false},
		{"a page", tenant, "", 2, []string{"mine-0", "mine-2"}, true},
		{"after a bucket", tenant, "mine-2", 10, []string{"mine-3", "mine-4"}, false},
		{"after one that is gone", tenant, "mine-1", 1, []string{"mine-2"}, true},
		{"somebody else's", "acmf", "", 10, []string{"mine-0-theirs"}, false},
		{"nobody's", "acm", "", 10, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			buckets, more, err := n.ListBuckets(t.Context(), c.tenant, c.after, c.limit)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, b := range buckets {
				got = append(got, b.GetName())
			}
			if diff := cmp.Diff(c.want, got); diff != "" || more != c.more {
				t.Errorf("more %t (-want +got):\n%s", more, diff)
			}
		})
	}
}

func TestDeleteBucket(t *testing.T) {
	n, _, _ := onMemory()
	b := mustCreate(t, n, "bucket")
	mustCommit(t, n, put(b, "k", ""))
	wantReason(t, n.DeleteBucket(t.Context(), "other", "bucket"), typesv1.Reason_REASON_ACCESS_DENIED)
	wantReason(t, n.DeleteBucket(t.Context(), tenant, "bucket"), typesv1.Reason_REASON_BUCKET_NOT_EMPTY)
	mustCommit(t, n, put(b, "k2", "")) // it is open
	mustCommit(t, n, del(b, "k"))
	mustCommit(t, n, del(b, "k2"))
	wantReason(t, n.DeleteBucket(t.Context(), tenant, "bucket"), typesv1.Reason_REASON_UNSPECIFIED)
	wantReason(t, n.DeleteBucket(t.Context(), tenant, "bucket"), typesv1.Reason_REASON_UNSPECIFIED)
	_, err := n.GetVersion(t.Context(), "bucket", "k", 0)
	wantReason(t, err, typesv1.Reason_REASON_NO_SUCH_BUCKET)
	wantReason(t, commit(t, n, put(b, "k", "")).Err, typesv1.Reason_REASON_NO_SUCH_BUCKET)
}

// closeIt leaves a bucket as a deleter does that dies after closing it.
func closeIt(t *testing.T, index head.Index, b *metadatav1.BucketRow, at time.Time) {
	t.Helper()
	row := &metadatav1.BucketRow{
		Name: b.GetName(), Id: b.GetId(), Tenant: b.GetTenant(), Scheme: b.GetScheme(), CreatedMs: b.GetCreatedMs(),
		State: metadatav1.BucketState_BUCKET_STATE_CLOSING, ClosingSinceMs: at.UnixMilli(),
	}
	payload := mustMarshal(t, row)
	key := head.BucketKey(b.GetName())
	r := index.Commit(t.Context(), []head.Write{{Key: key, ID: headtest.ID(), Plan: func(head.View) (head.Plan, error) {
		return head.Plan{Puts: []head.Put{{Key: key, Payload: payload}}}, nil
	}}})[0]
	if r.Err != nil {
		t.Fatal(r.Err)
	}
}

// Constraint 4: while its decider may live, a closing bucket refuses; then whoever meets it goes on.
func TestClosingBucket(t *testing.T) {
	for _, c := range []struct {
		name  string
		meet  func(*testing.T, *names.Names, *metadatav1.BucketRow) error
		after typesv1.Reason // of GetBucket, once it is decided
	}{
		{"a commit reopens it", func(t *testing.T, n *names.Names, b *metadatav1.BucketRow) error {
			t.Helper()
			return commit(t, n, put(b, "k", "")).Err
		}, typesv1.Reason_REASON_UNSPECIFIED},
		{"a create reopens it", func(t *testing.T, n *names.Names, b *metadatav1.BucketRow) error {
			t.Helper()
			_, err := n.CreateBucket(t.Context(), tenant, b.GetName(), "rs-4-2")
			return err
		}, typesv1.Reason_REASON_UNSPECIFIED},
		{"a delete goes on with it", func(t *testing.T, n *names.Names, b *metadatav1.BucketRow) error {
			t.Helper()
			return n.DeleteBucket(t.Context(), tenant, b.GetName())
		}, typesv1.Reason_REASON_NO_SUCH_BUCKET},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, index, w := onMemory()
			b := mustCreate(t, n, "bucket")
			closeIt(t, index, b, w.at)
			wantReason(t, c.meet(t, n, b), typesv1.Reason_REASON_BUCKET_CLOSING)
			if got, _, err := n.GetBucket(t.Context(), "bucket"); err != nil || got.GetState() != metadatav1.BucketState_BUCKET_STATE_CLOSING {
				t.Errorf("get: %v, %v", got, err)
			}
			w.at = w.at.Add(11 * time.Second)
			wantReason(t, c.meet(t, n, b), typesv1.Reason_REASON_UNSPECIFIED)
			got, _, err := n.GetBucket(t.Context(), "bucket")
			wantReason(t, err, c.after)
			if err == nil && (got.GetState() != metadatav1.BucketState_BUCKET_STATE_OPEN || got.GetId() != b.GetId() || got.GetClosingSinceMs() != 0) {
				t.Errorf("bucket %v", got)
			}
		})
	}
}

// Constraint 3: of a deletion and the commits that race with it, one side wins. What is acknowledged is there, or the
// bucket is; rows of removed buckets are nowhere.
func TestDeleteBucketAgainstCommits(t *testing.T) {
	cluster := etcdtest.Start(t, 1)
	first, index := replica(t, cluster.Client(t, 0), 0, asIs)
	second, _ := replica(t, cluster.Client(t, 0), 0, asIs)
	const rounds, writers = 60, 4
	deleted, kept := 0, 0
	for round := range rounds {
		b := mustCreate(t, first, fmt.Sprint("bucket-", round))
		var g sync.WaitGroup
		acked := make([]bool, writers)
		for i := range writers {
			g.Go(func() {
				n := []*names.Names{first, second}[i%2]
				time.Sleep(time.Duration(round%6) * 300 * time.Microsecond) // shift the race through the deletion
				r := commit(t, n, put(b, fmt.Sprint("k", i), ""))
				acked[i] = r.Err == nil
				if r.Err != nil && !fault.Is(r.Err, typesv1.Reason_REASON_NO_SUCH_BUCKET, typesv1.Reason_REASON_BUCKET_CLOSING) {
					t.Errorf("commit: %v", r.Err)
				}
			})
		}
		err := second.DeleteBucket(t.Context(), tenant, b.GetName())
		g.Wait()
		present := rows(t, index, b.GetId())
		switch {
		case err == nil:
			deleted++
			if present != 0 {
				t.Errorf("round %d: %d rows outlived their bucket", round, present)
			}
			for i, ok := range acked {
				if ok {
					t.Errorf("round %d: k%d was acknowledged and its bucket removed", round, i)
				}
			}
		case fault.Is(err, typesv1.Reason_REASON_BUCKET_NOT_EMPTY):
			kept++
			for i, ok := range acked {
				if _, err := first.GetVersion(t.Context(), b.GetName(), fmt.Sprint("k", i), 0); ok && err != nil {
					t.Errorf("round %d: k%d was acknowledged: %v", round, i, err)
				}
			}
		default:
			t.Errorf("round %d: delete: %v", round, err)
		}
	}
	t.Logf("%d buckets deleted, %d kept", deleted, kept)
	if deleted == 0 || kept == 0 {
		t.Error("the race had one winner only: it proves nothing")
	}
}

// rows counts the live rows under a bucket's id.
func rows(t *testing.T, index head.Index, id uint64) (n int) {
	t.Helper()
	from, to := head.VersionRange(id)
	err := index.Read(t.Context(), func(v head.View) error {
		v.Scan(from, to, func(head.Row) (string, bool) { n++; return "", false })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
