package bucket

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/frontdoor/internal/auth"
	"github.com/drystone-store/drystone/services/kit/fault"
)

func TestValidateName(t *testing.T) {
	for name, ok := range map[string]bool{
		"abc":                     true,
		"a.b-c.1":                 true,
		"123":                     true,
		strings.Repeat("a", 63):   true,
		"ab":                      false,
		strings.Repeat("a", 64):   false,
		"":                        false,
		"Abc":                     false,
		"a_c":                     false,
		"a/c":                     false,
		"-ab":                     false,
		"ab-":                     false,
		".ab":                     false,
		"ab.":                     false,
		"a..b":                    false,
		"192.168.1.1":             false,
		"xn--abc":                 false,
		"abc-s3alias":             false,
		"bücher":                  false,
		"a\x00b":                  false,
		"abc\n":                   false,
		"a b":                     false,
		"objects":                 true,
		"amzn-s3-demo-bucket":     false,
		"sthree-configurator-abc": false,
	} {
		if err := validateName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		} else if err != nil && !fault.Is(err, typesv1.Reason_REASON_INVALID_BUCKET_NAME) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// fakeNames remembers what it was asked to make, and lists a, b and c… of it.
type fakeNames struct {
	Names
	made  []string
	owner string
}

func (f *fakeNames) CreateBucket(_ context.Context, tenant, name, scheme string) (*metadatav1.BucketRow, error) {
	f.made = append(f.made, tenant+" "+name+" "+scheme)
	return &metadatav1.BucketRow{Name: name, Tenant: tenant, Scheme: scheme}, nil
}

func (f *fakeNames) Bucket(_ context.Context, name string, fresh bool) (*metadatav1.BucketRow, error) {
	if !fresh {
		return nil, fault.Bug("an old row is no answer to who asks for a bucket")
	}
	return &metadatav1.BucketRow{Name: name, Tenant: f.owner}, nil
}

func (f *fakeNames) ListBuckets(
	_ context.Context, _, after string, limit int32,
) (rows []*metadatav1.BucketRow, more bool, err error) {
	for _, name := range []string{"aaa", "bbb", "ccc", "ddd", "eee"} {
		if name <= after {
			continue
		}
		if len(rows) == int(limit) {
			return rows, true, nil
		}
		rows = append(rows, &metadatav1.BucketRow{Name: name})
	}
	return rows, false, nil
}

// fakeSchemes keeps at most six columns.
type fakeSchemes struct{}

func (fakeSchemes) Default() (erasure.Scheme, error) { return erasure.Scheme{K: 4, M: 2}, nil }

func (fakeSchemes) Check(_ context.Context, s erasure.Scheme) error {
	if s.N() > 6 {
		return fault.New(codes.FailedPrecondition, typesv1.Reason_REASON_SCHEME_DOES_NOT_FIT, "too wide")
	}
	return nil
}

func TestCreate(t *testing.T) {
	for name, tc := range map[string]struct {
		bucket, scheme string
		made           string
		want           typesv1.Reason
	}{
		"default scheme":       {"abc", "", "root abc rs-4-2", 0},
		"own scheme":           {"abc", "rs-2-1", "root abc rs-2-1", 0},
		"no scheme":            {"abc", "raid5", "", typesv1.Reason_REASON_INVALID_SCHEME},
		"scheme out of bounds": {"abc", "rs-0-1", "", typesv1.Reason_REASON_INVALID_SCHEME},
		"scheme too wide":      {"abc", "rs-8-4", "", typesv1.Reason_REASON_SCHEME_DOES_NOT_FIT},
		"bad name":             {"A", "", "", typesv1.Reason_REASON_INVALID_BUCKET_NAME},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakeNames{}
			_, err := New(f, fakeSchemes{}).Create(auth.WithTenant(t.Context(), auth.RootTenant), tc.bucket, tc.scheme)
			if fault.Reason(err) != tc.want {
				t.Fatalf("%v, want %v", err, tc.want)
			}
			if got := strings.Join(f.made, ","); got != tc.made {
				t.Fatalf("made %q, want %q", got, tc.made)
			}
		})
	}
}

func TestGetOfAnothersBucket(t *testing.T) {
	s := New(&fakeNames{owner: "you"}, fakeSchemes{})
	if _, err := s.Get(auth.WithTenant(t.Context(), "me"), "abc"); !fault.Is(err, typesv1.Reason_REASON_ACCESS_DENIED) {
		t.Fatal(err)
	}
	if _, err := s.Get(auth.WithTenant(t.Context(), "you"), "abc"); err != nil {
		t.Fatal(err)
	}
}

func TestListByPages(t *testing.T) {
	s := New(&fakeNames{}, fakeSchemes{})
	var pages []string
	for token := ""; ; {
		rows, next, err := s.List(t.Context(), 2, token)
		if err != nil {
			t.Fatal(err)
		}
		page := ""
		for _, row := range rows {
			page += row.GetName()
		}
		pages = append(pages, page)
		if token = next; token == "" {
			break
		}
	}
	if got := strings.Join(pages, " "); got != "aaabbb cccddd eee" {
		t.Fatal(got)
	}
	for _, token := range []string{"x", "!", "AWFhYQ==", encodeToken("A"), encodeToken("aaa") + "A"} {
		if _, _, err := s.List(t.Context(), 2, token); !fault.Is(err, typesv1.Reason_REASON_INVALID_PAGE_TOKEN) {
			t.Errorf("%q: %v", token, err)
		}
	}
}

func FuzzPageToken(f *testing.F) {
	f.Add(encodeToken("abc"))
	f.Add("AWFiYw")
	f.Fuzz(func(t *testing.T, token string) {
		after, err := decodeToken(token)
		if err == nil && token != "" && encodeToken(after) != token {
			t.Fatalf("%q reads as %q", token, after)
		}
	})
}
