package server_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/metadata/internal/head"
	"github.com/drystone-store/drystone/services/metadata/internal/hlc"
	"github.com/drystone-store/drystone/services/metadata/internal/names"
	"github.com/drystone-store/drystone/services/metadata/internal/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func onMemory() *server.Server {
	clock := hlc.New(time.Now, 0)
	return server.New(names.New(head.NewMemory(head.Options{Observe: clock.Observe}), clock, time.Now))
}

func mustCreate(t *testing.T, s *server.Server, name string) *metadatav1.BucketRow {
	t.Helper()
	r, err := s.CreateBucket(t.Context(), &metadatav1.CreateBucketRequest{Tenant: "acme", Name: name, Scheme: "rs-4-2"})
	if err != nil {
		t.Fatal(err)
	}
	return r.GetBucket()
}

func put(b *metadatav1.BucketRow, key string) *metadatav1.Mutation {
	return &metadatav1.Mutation{
		BucketId: b.GetId(), Bucket: b.GetName(), Key: key,
		Row: &metadatav1.VersionRow{WriteId: []byte("0123456789abcdef"), Size: 1},
	}
}

func TestLifeOfAnObject(t *testing.T) {
	s, ctx := onMemory(), t.Context()
	b := mustCreate(t, s, "bucket")
	commit, err := s.Commit(ctx, &metadatav1.CommitRequest{Mutations: []*metadatav1.Mutation{put(b, "a/b"), put(b, "c")}})
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range commit.GetOutcomes() {
		if o.GetCode() != 0 || o.GetVersion() == 0 || o.GetRevision() == 0 {
			t.Errorf("outcome %d: %v", i, o)
		}
	}
	got, err := s.GetVersion(ctx, &metadatav1.GetVersionRequest{Bucket: "bucket", Key: "c"})
	if err != nil || got.GetRow().GetVersion() != commit.GetOutcomes()[1].GetVersion() || got.GetRevision() == 0 {
		t.Errorf("get: %v, %v", got, err)
	}
	if diff := cmp.Diff(b, got.GetBucket(), protocmp.Transform()); diff != "" {
		t.Errorf("bucket (-want +got):\n%s", diff)
	}
	list, err := s.ListVersions(ctx, &metadatav1.ListVersionsRequest{Bucket: "bucket", Delimiter: "/", Limit: 1})
	if err != nil || len(list.GetPrefixes()) != 1 || list.GetNext() != "a/" {
		t.Errorf("list: %v, %v", list, err)
	}
	if _, err := s.DeleteBucket(ctx, &metadatav1.DeleteBucketRequest{Tenant: "acme", Name: "bucket"}); !fault.Is(err, typesv1.Reason_REASON_BUCKET_NOT_EMPTY) {
		t.Errorf("delete bucket: %v", err)
	}
	floor, err := s.RaiseFloor(ctx, &metadatav1.RaiseFloorRequest{Writer: "w", Floor: 3})
	if err != nil || floor.GetFloor() != 3 {
		t.Errorf("raise floor: %v, %v", floor, err)
	}
	buckets, err := s.ListBuckets(ctx, &metadatav1.ListBucketsRequest{Tenant: "acme", Limit: 1})
	if err != nil || len(buckets.GetBuckets()) != 1 || buckets.GetMore() {
		t.Errorf("list buckets: %v, %v", buckets, err)
	}
	if got, err := s.GetBucket(ctx, &metadatav1.GetBucketRequest{Name: "bucket"}); err != nil || got.GetRevision() == 0 {
		t.Errorf("get bucket: %v, %v", got, err)
	}
}

// A mutation that is malformed fails alone; its neighbours apply.
func TestMalformedMutations(t *testing.T) {
	s := onMemory()
	b := mustCreate(t, s, "bucket")
	long := strings.Repeat("k", 1025)
	extents := func(n int) []*typesv1.Extent {
		list := make([]*typesv1.Extent, n)
		for i := range list {
			list[i] = &typesv1.Extent{Volume: 1, Length: 1, Run: 1}
		}
		return list
	}
	const argument = typesv1.Reason_REASON_INVALID_ARGUMENT
	cases := []struct {
		name   string
		change func(*metadatav1.Mutation)
		want   typesv1.Reason
	}{
		{"as it should be", func(*metadatav1.Mutation) {}, typesv1.Reason_REASON_UNSPECIFIED},
		{"no row", func(m *metadatav1.Mutation) { m.Row = nil }, argument},
		{"short write id", func(m *metadatav1.Mutation) { m.Row.WriteId = []byte("short") }, argument},
		{"no bucket", func(m *metadatav1.Mutation) { m.Bucket = "" }, typesv1.Reason_REASON_INVALID_BUCKET_NAME},
		{"long bucket", func(m *metadatav1.Mutation) { m.Bucket = long[:64] }, typesv1.Reason_REASON_INVALID_BUCKET_NAME},
		{"no key", func(m *metadatav1.Mutation) { m.Key = "" }, typesv1.Reason_REASON_INVALID_KEY},
		{"key with a NUL", func(m *metadatav1.Mutation) { m.Key = "a\x00b" }, typesv1.Reason_REASON_INVALID_KEY},
		{"key that is no text", func(m *metadatav1.Mutation) { m.Key = "\xff" }, typesv1.Reason_REASON_INVALID_KEY},
		{"long key", func(m *metadatav1.Mutation) { m.Key = long }, typesv1.Reason_REASON_KEY_TOO_LONG},
		{"longest key", func(m *metadatav1.Mutation) { m.Key = long[:1024] }, typesv1.Reason_REASON_UNSPECIFIED},
		{"negative since", func(m *metadatav1.Mutation) { m.Since = -1 }, argument},
		{"extents without a term", func(m *metadatav1.Mutation) { m.Row.Extents, m.Row.Writer = extents(1), "w" }, argument},
		{"extents without a writer", func(m *metadatav1.Mutation) { m.Row.Extents, m.OldestTerm = extents(1), 1 }, argument},
		{"extent list without a term", func(m *metadatav1.Mutation) { m.Row.ExtentList, m.Row.Writer = extents(1)[0], "w" }, argument},
		{"64 extents", func(m *metadatav1.Mutation) {
			m.Row.Extents, m.Row.Writer, m.OldestTerm = extents(64), "w", 1
		}, typesv1.Reason_REASON_UNSPECIFIED},
		{"65 extents", func(m *metadatav1.Mutation) { m.Row.Extents, m.Row.Writer, m.OldestTerm = extents(65), "w", 1 }, argument},
		{"delete with extents", func(m *metadatav1.Mutation) {
			m.Row.DeleteMarker, m.Row.Extents, m.Row.Writer, m.OldestTerm = true, extents(1), "w", 1
		}, argument},
		{"row too large", func(m *metadatav1.Mutation) { m.Row.ContentType = strings.Repeat("x", 64<<10) }, argument},
		{"bucket of another id", func(m *metadatav1.Mutation) { m.BucketId++ }, typesv1.Reason_REASON_NO_SUCH_BUCKET},
	}
	request := &metadatav1.CommitRequest{}
	for _, c := range cases {
		m := put(b, c.name)
		c.change(m)
		request.Mutations = append(request.Mutations, m)
	}
	response, err := s.Commit(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range cases {
		o := response.GetOutcomes()[i]
		if got := o.GetReason(); got != fault.Name(c.want) || (o.GetCode() == 0) != (got == "") {
			t.Errorf("%s: %v, want %v", c.name, o, c.want)
		}
	}
}

func TestMalformedRequests(t *testing.T) {
	s, ctx := onMemory(), t.Context()
	mustCreate(t, s, "bucket")
	const argument, name = typesv1.Reason_REASON_INVALID_ARGUMENT, typesv1.Reason_REASON_INVALID_BUCKET_NAME
	for _, c := range []struct {
		name string
		call func() error
		want typesv1.Reason
	}{
		{"create: no name", func() error {
			_, err := s.CreateBucket(ctx, &metadatav1.CreateBucketRequest{Tenant: "acme", Scheme: "rs-4-2"})
			return err
		}, name},
		{"create: no tenant", func() error {
			_, err := s.CreateBucket(ctx, &metadatav1.CreateBucketRequest{Name: "b", Scheme: "rs-4-2"})
			return err
		}, argument},
		{"create: tenant with a NUL", func() error {
			_, err := s.CreateBucket(ctx, &metadatav1.CreateBucketRequest{Tenant: "a\x00b", Name: "b", Scheme: "rs-4-2"})
			return err
		}, argument},
		{"create: no scheme", func() error {
			_, err := s.CreateBucket(ctx, &metadatav1.CreateBucketRequest{Tenant: "acme", Name: "b"})
			return err
		}, argument},
		{"get bucket: no name", func() error {
			_, err := s.GetBucket(ctx, &metadatav1.GetBucketRequest{})
			return err
		}, name},
		{"delete bucket: no tenant", func() error {
			_, err := s.DeleteBucket(ctx, &metadatav1.DeleteBucketRequest{Name: "bucket"})
			return err
		}, argument},
		{"list buckets: no limit", func() error {
			_, err := s.ListBuckets(ctx, &metadatav1.ListBucketsRequest{Tenant: "acme"})
			return err
		}, argument},
		{"commit: nothing", func() error {
			_, err := s.Commit(ctx, &metadatav1.CommitRequest{})
			return err
		}, argument},
		{"commit: too much", func() error {
			_, err := s.Commit(ctx, &metadatav1.CommitRequest{Mutations: make([]*metadatav1.Mutation, 1025)})
			return err
		}, argument},
		{"get: no key", func() error {
			_, err := s.GetVersion(ctx, &metadatav1.GetVersionRequest{Bucket: "bucket"})
			return err
		}, typesv1.Reason_REASON_INVALID_KEY},
		{"list: limit too large", func() error {
			_, err := s.ListVersions(ctx, &metadatav1.ListVersionsRequest{Bucket: "bucket", Limit: 1001})
			return err
		}, argument},
		{"list: prefix that is no text", func() error {
			_, err := s.ListVersions(ctx, &metadatav1.ListVersionsRequest{Bucket: "bucket", Limit: 1, Prefix: "\xff"})
			return err
		}, argument},
		{"list: delimiter with a NUL", func() error {
			_, err := s.ListVersions(ctx, &metadatav1.ListVersionsRequest{Bucket: "bucket", Limit: 1, Delimiter: "\x00"})
			return err
		}, argument},
		{"list: long start_after", func() error {
			_, err := s.ListVersions(ctx, &metadatav1.ListVersionsRequest{Bucket: "bucket", Limit: 1, StartAfter: strings.Repeat("x", 1025)})
			return err
		}, argument},
		{"raise floor: no writer", func() error {
			_, err := s.RaiseFloor(ctx, &metadatav1.RaiseFloorRequest{Floor: 1})
			return err
		}, argument},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.call(); fault.Reason(err) != c.want || fault.Code(err) != codes.InvalidArgument {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}
