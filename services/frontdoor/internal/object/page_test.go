package object

import (
	"encoding/base64"
	"testing"

	"pgregory.net/rapid"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

func TestPageTokenSurvives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[^\x00]{0,40}`)
		req := &apiv1.ListObjectsRequest{
			Bucket: text.Draw(t, "bucket"), Prefix: text.Draw(t, "prefix"), Delimiter: text.Draw(t, "delimiter"),
		}
		after := rapid.StringMatching(`[^\x00]{1,300}`).Draw(t, "after")
		req.PageToken = encodeToken(req, after)
		got, err := decodeToken(req)
		if err != nil || got != after {
			t.Fatalf("got %q, %v", got, err)
		}
	})
}

func TestPageTokenOfAnotherListing(t *testing.T) {
	mine := &apiv1.ListObjectsRequest{Bucket: "b", Prefix: "p", Delimiter: "/"}
	token := encodeToken(mine, "p/x")
	for name, req := range map[string]*apiv1.ListObjectsRequest{
		"bucket":          {Bucket: "c", Prefix: "p", Delimiter: "/"},
		"prefix":          {Bucket: "b", Prefix: "q", Delimiter: "/"},
		"delimiter":       {Bucket: "b", Prefix: "p"},
		"shifted borders": {Bucket: "bp", Delimiter: "/"},
	} {
		t.Run(name, func(t *testing.T) {
			req.PageToken = token
			if _, err := decodeToken(req); !fault.Is(err, typesv1.Reason_REASON_INVALID_PAGE_TOKEN) {
				t.Fatal(err)
			}
		})
	}
}

// FuzzPageToken checks that every token that is accepted is one that was made.
func FuzzPageToken(f *testing.F) {
	req := &apiv1.ListObjectsRequest{Bucket: "b"}
	f.Add(encodeToken(req, "k"))
	f.Add("")
	f.Add("AAAA")
	f.Add(base64.RawURLEncoding.EncodeToString([]byte{tokenVersion, 0, 0, 0, 0, 'k', 0, 0, 0, 0}))
	f.Fuzz(func(t *testing.T, token string) {
		req := &apiv1.ListObjectsRequest{Bucket: "b", PageToken: token}
		after, err := decodeToken(req)
		if err != nil {
			if !fault.Is(err, typesv1.Reason_REASON_INVALID_PAGE_TOKEN) {
				t.Fatal(err)
			}
			return
		}
		if again := encodeToken(req, after); again != token {
			t.Fatalf("token %q reads as %q, whose token is %q", token, after, again)
		}
	})
}
