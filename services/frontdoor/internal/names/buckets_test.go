package names

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/log"
)

// bucketServer counts questions for buckets; only "there" exists.
type bucketServer struct {
	metadatav1.MetadataServiceClient
	asked int
}

func (s *bucketServer) GetBucket(
	_ context.Context, req *metadatav1.GetBucketRequest, _ ...grpc.CallOption,
) (*metadatav1.GetBucketResponse, error) {
	s.asked++
	if req.GetName() != "there" {
		return nil, fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_BUCKET, "no")
	}
	return &metadatav1.GetBucketResponse{Bucket: &metadatav1.BucketRow{Name: "there", Id: uint64(s.asked)}}, nil
}

func TestBucketCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &bucketServer{}
		c, err := New(s, log.Discard(), nil)
		if err != nil {
			t.Fatal(err)
		}
		ask := func(name string, fresh bool, wantAsked int) {
			t.Helper()
			_, err := c.Bucket(t.Context(), name, fresh)
			if (err == nil) != (name == "there") || s.asked != wantAsked {
				t.Fatalf("%v; asked %d times, want %d", err, s.asked, wantAsked)
			}
		}
		ask("there", false, 1)
		ask("there", false, 1)
		ask("there", true, 2)
		time.Sleep(bucketTTL)
		ask("there", false, 3)
		ask("absent", false, 4)
		ask("absent", false, 5) // That something is not there is never remembered.
		ask("", false, 5)
		ask("\xff", false, 5)
		ask(strings.Repeat("b", 64), false, 5)
	})
}
