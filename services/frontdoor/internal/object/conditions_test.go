package object

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

func TestParseETags(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want etagList
		fail bool
	}{
		"absent":               {text: ""},
		"any":                  {text: "*", want: etagList{any: true}},
		"any, with spaces":     {text: " * ", want: etagList{any: true}},
		"one":                  {text: `"a"`, want: etagList{tags: []etag{{opaque: `"a"`}}}},
		"weak":                 {text: `W/"a"`, want: etagList{tags: []etag{{opaque: `"a"`, weak: true}}}},
		"list":                 {text: `"a", W/"b" ,"c"`, want: etagList{tags: []etag{{opaque: `"a"`}, {opaque: `"b"`, weak: true}, {opaque: `"c"`}}}},
		"empty elements":       {text: `, "a",, "b" ,`, want: etagList{tags: []etag{{opaque: `"a"`}, {opaque: `"b"`}}}},
		"empty tag":            {text: `""`, want: etagList{tags: []etag{{opaque: `""`}}}},
		"comma in a tag":       {text: `"a,b"`, want: etagList{tags: []etag{{opaque: `"a,b"`}}}},
		"without quotes":       {text: `abc-0`, want: etagList{tags: []etag{{opaque: `"abc-0"`}}}},
		"only commas":          {text: `,,`, fail: true},
		"any in a list":        {text: `*, "a"`, fail: true},
		"no closing quote":     {text: `"a`, fail: true},
		"rubbish behind a tag": {text: `"a"b`, fail: true},
		"small w":              {text: `w/"a"`, fail: true},
		"weak without quotes":  {text: `W/a`, fail: true},
		"space in a tag":       {text: `"a b"`, fail: true},
		"control character":    {text: "\"a\x01\"", fail: true},
		"too many":             {text: strings.Repeat(`"a",`, maxETags+1), fail: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseETags(tc.text)
			if (err != nil) != tc.fail {
				t.Fatalf("%q: %v", tc.text, err)
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(etagList{}, etag{})); err == nil && diff != "" {
				t.Fatal(diff)
			}
		})
	}
}

// FuzzParseETags checks that what was parsed is what its canonical spelling parses to.
func FuzzParseETags(f *testing.F) {
	for _, seed := range []string{"*", `"a"`, `W/"a", "b"`, "abc", `, ,"a"`, `"a`, `""`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := parseETags(text)
		if err != nil {
			return
		}
		var spelled []string
		for _, tag := range l.tags {
			if len(tag.opaque) < 2 || tag.opaque[0] != '"' || tag.opaque[len(tag.opaque)-1] != '"' {
				t.Fatalf("%q has a tag %q", text, tag.opaque)
			}
			s := tag.opaque
			if tag.weak {
				s = "W/" + s
			}
			spelled = append(spelled, s)
		}
		if l.any {
			spelled = []string{"*"}
		}
		again, err := parseETags(strings.Join(spelled, ", "))
		if diff := cmp.Diff(l, again, cmp.AllowUnexported(etagList{}, etag{})); err != nil || diff != "" {
			t.Fatalf("%q: %v %s", text, err, diff)
		}
	})
}

func TestCheckRead(t *testing.T) {
	modified := time.Date(2026, 11, 22, 15, 29, 44, 693e6, time.UTC)
	o := Object{Key: "k", Row: &metadatav1.VersionRow{Version: uint64(modified.UnixMilli()) << versionTimeShift}}
	at := func(d time.Duration) *timestamppb.Timestamp {
		return timestamppb.New(modified.Truncate(time.Second).Add(d))
	}
	const (
		ok      = typesv1.Reason_REASON_UNSPECIFIED
		failed  = typesv1.Reason_REASON_PRECONDITION_FAILED
		unmoved = typesv1.Reason_REASON_NOT_MODIFIED
	)
	for name, tc := range map[string]struct {
		p    *apiv1.Preconditions
		want typesv1.Reason
	}{
		"none":                                 {nil, ok},
		"match its tag":                        {&apiv1.Preconditions{IfMatch: o.ETag()}, ok},
		"match any":                            {&apiv1.Preconditions{IfMatch: "*"}, ok},
		"match another":                        {&apiv1.Preconditions{IfMatch: `"x"`}, failed},
		"match its tag, weak":                  {&apiv1.Preconditions{IfMatch: "W/" + o.ETag()}, failed},
		"none match its tag":                   {&apiv1.Preconditions{IfNoneMatch: o.ETag()}, unmoved},
		"none match its tag, weak":             {&apiv1.Preconditions{IfNoneMatch: "W/" + o.ETag()}, unmoved},
		"none match any":                       {&apiv1.Preconditions{IfNoneMatch: "*"}, unmoved},
		"none match another":                   {&apiv1.Preconditions{IfNoneMatch: `"x"`}, ok},
		"modified since its second":            {&apiv1.Preconditions{IfModifiedSince: at(0)}, unmoved},
		"modified since before":                {&apiv1.Preconditions{IfModifiedSince: at(-time.Second)}, ok},
		"modified since later":                 {&apiv1.Preconditions{IfModifiedSince: at(time.Second)}, unmoved},
		"unmodified since its second":          {&apiv1.Preconditions{IfUnmodifiedSince: at(0)}, ok},
		"unmodified since before":              {&apiv1.Preconditions{IfUnmodifiedSince: at(-time.Second)}, failed},
		"a matching tag outweighs the date":    {&apiv1.Preconditions{IfMatch: o.ETag(), IfUnmodifiedSince: at(-time.Hour)}, ok},
		"a none-match tag outweighs the date":  {&apiv1.Preconditions{IfNoneMatch: `"x"`, IfModifiedSince: at(0)}, ok},
		"match fails before none-match is met": {&apiv1.Preconditions{IfMatch: `"x"`, IfNoneMatch: o.ETag()}, failed},
	} {
		t.Run(name, func(t *testing.T) {
			cond, err := parseConditions(tc.p)
			if err != nil {
				t.Fatal(err)
			}
			err = cond.checkRead(o)
			if got := fault.Reason(err); got != tc.want {
				t.Fatalf("got %v (%v), want %v", got, err, tc.want)
			}
		})
	}
}

func TestConditionOfACommit(t *testing.T) {
	for name, tc := range map[string]struct {
		p     *apiv1.Preconditions
		want  *metadatav1.Condition
		never bool
	}{
		"none":             {p: nil},
		"dates say naught": {p: &apiv1.Preconditions{IfModifiedSince: timestamppb.Now()}},
		"must be absent":   {p: &apiv1.Preconditions{IfNoneMatch: "*"}, want: &metadatav1.Condition{Absent: true}},
		"must be there":    {p: &apiv1.Preconditions{IfMatch: "*"}, want: &metadatav1.Condition{IfMatch: []string{"*"}}},
		"weak tags match nothing": {
			p:     &apiv1.Preconditions{IfMatch: `W/"a"`},
			want:  &metadatav1.Condition{},
			never: true,
		},
		"tags": {
			p:    &apiv1.Preconditions{IfMatch: `"a", W/"b"`, IfNoneMatch: `W/"c", "d"`},
			want: &metadatav1.Condition{IfMatch: []string{`"a"`}, IfNoneMatch: []string{`"c"`, `"d"`}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			cond, err := parseConditions(tc.p)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, cond.commit(), protocmp.Transform()); diff != "" {
				t.Fatal(diff)
			}
			if cond.never() != tc.never {
				t.Fatalf("never: %v", cond.never())
			}
		})
	}
}
