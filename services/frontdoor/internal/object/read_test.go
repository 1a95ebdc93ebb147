package object_test

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/frontdoor/internal/auth"
	"github.com/drystone-store/drystone/services/frontdoor/internal/object"
	"github.com/drystone-store/drystone/services/kit/fault"
)

func TestDeleteInABucketMadeAnew(t *testing.T) {
	f := newFixture(t)
	if _, err := f.names.Bucket(f.ctx, "b", false); err != nil { // Cached from here on.
		t.Fatal(err)
	}
	_, err := f.names.DeleteBucket(f.ctx, &metadatav1.DeleteBucketRequest{Tenant: auth.RootTenant, Name: "b"})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.service.Delete(f.ctx, &apiv1.DeleteObjectRequest{Bucket: "b", Key: "k"}); !fault.Is(err, typesv1.Reason_REASON_NO_SUCH_BUCKET) {
		t.Fatal(err)
	}
	f.bucket(t, "b", auth.RootTenant)
	if err := f.service.Delete(f.ctx, &apiv1.DeleteObjectRequest{Bucket: "b", Key: "k"}); err != nil {
		t.Fatal(err)
	}
}

func TestGetWhoseVolumeMoved(t *testing.T) {
	f := newFixture(t)
	data := bytes.Repeat([]byte("moving"), 1<<19)
	if _, err := f.service.Put(f.ctx, &apiv1.PutObjectSpec{Bucket: "b", Key: "k"}, &body{pieces: pieces(data, 1<<18)}); err != nil {
		t.Fatal(err)
	}
	gone := fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_VOLUME, "gone")
	f.volumes.Fail(nil) // The first slice comes,
	f.volumes.Fail(gone)
	before := f.names.asked
	if got := f.read(t, "k"); !bytes.Equal(got, data) {
		t.Fatal("it came back changed")
	}
	if f.names.asked != before+2 {
		t.Fatalf("%d questions for the row", f.names.asked-before)
	}
	for range 2 {
		f.volumes.Fail(gone)
	}
	err := f.service.Get(f.ctx, &apiv1.GetObjectRequest{Bucket: "b", Key: "k"}, &collect{})
	if fault.Code(err) != codes.Unavailable {
		t.Fatal(err)
	}
}

// An object that cannot be read at all is an error without a head.
func TestGetThatFailsAtOnceSendsNoHead(t *testing.T) {
	f := newFixture(t)
	if _, err := f.service.Put(f.ctx, &apiv1.PutObjectSpec{Bucket: "b", Key: "k"}, &body{pieces: [][]byte{{1}}}); err != nil {
		t.Fatal(err)
	}
	f.volumes.Fail(fault.New(codes.DataLoss, typesv1.Reason_REASON_TOO_MUCH_LOST, "gone"))
	var c collect
	err := f.service.Get(f.ctx, &apiv1.GetObjectRequest{Bucket: "b", Key: "k"}, &c)
	if !fault.Is(err, typesv1.Reason_REASON_TOO_MUCH_LOST) || c.head.Object.Row != nil {
		t.Fatalf("%v, head %+v", err, c.head)
	}
}

func TestListValidates(t *testing.T) {
	f := newFixture(t)
	f.bucket(t, "theirs", "somebody else")
	for name, tc := range map[string]struct {
		req  *apiv1.ListObjectsRequest
		want typesv1.Reason
	}{
		"no such bucket":       {&apiv1.ListObjectsRequest{Bucket: "x"}, typesv1.Reason_REASON_NO_SUCH_BUCKET},
		"another's bucket":     {&apiv1.ListObjectsRequest{Bucket: "theirs"}, typesv1.Reason_REASON_ACCESS_DENIED},
		"negative page":        {&apiv1.ListObjectsRequest{Bucket: "b", PageSize: -1}, typesv1.Reason_REASON_INVALID_ARGUMENT},
		"token of nobody":      {&apiv1.ListObjectsRequest{Bucket: "b", PageToken: "x"}, typesv1.Reason_REASON_INVALID_PAGE_TOKEN},
		"prefix not UTF-8":     {&apiv1.ListObjectsRequest{Bucket: "b", Prefix: "\xff"}, typesv1.Reason_REASON_INVALID_ARGUMENT},
		"delimiter with a NUL": {&apiv1.ListObjectsRequest{Bucket: "b", Delimiter: "\x00"}, typesv1.Reason_REASON_INVALID_ARGUMENT},
		"prefix too long":      {&apiv1.ListObjectsRequest{Bucket: "b", Prefix: strings.Repeat("p", 1025)}, typesv1.Reason_REASON_KEY_TOO_LONG},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := f.service.List(f.ctx, tc.req); fault.Reason(err) != tc.want {
				t.Fatalf("%v, want %v", err, tc.want)
			}
		})
	}
}

// Nobody's requests own nothing.
func TestNobodyMayDoNothing(t *testing.T) {
	f := newFixture(t)
	_, err := f.service.Put(t.Context(), &apiv1.PutObjectSpec{Bucket: "b", Key: "k"}, &body{})
	if !fault.Is(err, typesv1.Reason_REASON_ACCESS_DENIED) {
		t.Fatal(err)
	}
}

// A version that is replaced between the look and the commit is gone already; what replaced it stays.
func TestDeleteOfAVersionThatIsReplacedMeanwhile(t *testing.T) {
	f := newFixture(t)
	put := func(data string) object.Object {
		o, err := f.service.Put(f.ctx, &apiv1.PutObjectSpec{Bucket: "b", Key: "k"}, &body{pieces: [][]byte{[]byte(data)}})
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	old := put("old")
	deletes := 0
	f.names.before = func(m *metadatav1.Mutation) error {
		if m.GetRow().GetDeleteMarker() {
			deletes++
			f.names.before = nil
			put("new")
		}
		return nil
	}
	if err := f.service.Delete(f.ctx, &apiv1.DeleteObjectRequest{Bucket: "b", Key: "k", VersionId: old.VersionID()}); err != nil {
		t.Fatal(err)
	}
	if got := f.read(t, "k"); string(got) != "new" || deletes != 1 {
		t.Errorf("%d deletes left %q", deletes, got)
	}
}
