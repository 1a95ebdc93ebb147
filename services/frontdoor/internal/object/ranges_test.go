package object

import (
	"strconv"
	"strings"
	"testing"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

func TestResolveRange(t *testing.T) {
	whole := func(size int64) span { return span{length: size} }
	part := func(offset, length int64) span { return span{offset: offset, length: length, partial: true} }
	unsatisfiable := span{offset: -1}
	for name, tc := range map[string]struct {
		header string
		size   int64
		want   span
	}{
		"none":                          {"", 10, whole(10)},
		"first byte":                    {"bytes=0-0", 10, part(0, 1)},
		"last byte":                     {"bytes=9-9", 10, part(9, 1)},
		"all":                           {"bytes=0-9", 10, part(0, 10)},
		"open end":                      {"bytes=3-", 10, part(3, 7)},
		"open end from zero":            {"bytes=0-", 10, part(0, 10)},
		"end beyond the object":         {"bytes=3-99", 10, part(3, 7)},
		"suffix":                        {"bytes=-3", 10, part(7, 3)},
		"suffix longer than the object": {"bytes=-99", 10, part(0, 10)},
		"suffix of the whole":           {"bytes=-10", 10, part(0, 10)},
		"unit in capitals":              {"BYTES=1-2", 10, part(1, 2)},
		"white space around":            {"bytes= 1-2 ", 10, part(1, 2)},
		"end beyond any number":         {"bytes=3-99999999999999999999", 10, part(3, 7)},
		"begin at the end":              {"bytes=10-", 10, unsatisfiable},
		"begin beyond the end":          {"bytes=11-12", 10, unsatisfiable},
		"begin beyond any number":       {"bytes=99999999999999999999-", 10, unsatisfiable},
		"empty suffix":                  {"bytes=-0", 10, unsatisfiable},
		"anything of an empty object":   {"bytes=0-", 0, unsatisfiable},
		"suffix of an empty object":     {"bytes=-5", 0, whole(0)},
		"several ranges":                {"bytes=0-1,3-4", 10, whole(10)},
		"a range and a comma":           {"bytes=0-1,", 10, whole(10)},
		"backwards":                     {"bytes=5-4", 10, whole(10)},
		"other unit":                    {"lines=0-1", 10, whole(10)},
		"no unit":                       {"0-1", 10, whole(10)},
		"no dash":                       {"bytes=5", 10, whole(10)},
		"only a dash":                   {"bytes=-", 10, whole(10)},
		"two dashes":                    {"bytes=1-2-3", 10, whole(10)},
		"signed":                        {"bytes=+1-2", 10, whole(10)},
		"negative begin":                {"bytes=--1", 10, whole(10)},
		"hex":                           {"bytes=0x1-2", 10, whole(10)},
		"inner white space":             {"bytes=1 - 2", 10, whole(10)},
		"not ASCII digits":              {"bytes=١-٢", 10, whole(10)},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := resolveRange(tc.header, tc.size)
			if tc.want == unsatisfiable {
				if !fault.Is(err, typesv1.Reason_REASON_RANGE_NOT_SATISFIABLE) {
					t.Fatalf("got %+v, %v; want RANGE_NOT_SATISFIABLE", got, err)
				}
				return
			}
			if err != nil || got != tc.want {
				t.Fatalf("got %+v, %v; want %+v", got, err, tc.want)
			}
		})
	}
}

// FuzzResolveRange checks that whatever is asked for, the answer lies in the object and is what the header says.
func FuzzResolveRange(f *testing.F) {
	for _, seed := range []string{"bytes=0-0", "bytes=-5", "bytes=5-", "bytes=0-1,2-3", "bytes=9223372036854775807-"} {
		f.Add(seed, int64(10))
	}
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 0 || size > MaxSize {
			t.Skip()
		}
		got, err := resolveRange(header, size)
		if err != nil {
			return
		}
		if got.offset < 0 || got.length < 0 || got.offset+got.length > size {
			t.Fatalf("%q of %d bytes: %+v", header, size, got)
		}
		if !got.partial && (got.offset != 0 || got.length != size) {
			t.Fatalf("%q of %d bytes: %+v is a part but does not say so", header, size, got)
		}
		if got.partial && got.length == 0 {
			t.Fatalf("%q of %d bytes: a part of nothing", header, size)
		}
		if got.partial {
			first, _, _ := strings.Cut(strings.TrimLeft(header[strings.Index(header, "=")+1:], " \t"), "-")
			if n, err := strconv.ParseInt(first, 10, 64); err == nil && n != got.offset {
				t.Fatalf("%q of %d bytes begins at %d", header, size, got.offset)
			}
		}
	})
}

func TestRangeApplies(t *testing.T) {
	// 2026-11-22T15:29:44.693Z.
	o := Object{Key: "k", Row: &metadatav1.VersionRow{Version: 1795361384693 << versionTimeShift}}
	for name, tc := range map[string]struct {
		ifRange string
		want    bool
	}{
		"absent":               {"", true},
		"its tag":              {o.ETag(), true},
		"another tag":          {`"other"`, false},
		"its tag, weak":        {"W/" + o.ETag(), false},
		"two tags":             {o.ETag() + `, "other"`, false},
		"any tag":              {"*", false},
		"its date":             {"Sun, 22 Nov 2026 15:29:44 GMT", true},
		"an older date":        {"Sun, 22 Nov 2026 15:29:43 GMT", false},
		"a younger date":       {"Sun, 22 Nov 2026 15:29:45 GMT", false},
		"neither tag nor date": {"yesterday", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := rangeApplies(tc.ifRange, o); got != tc.want {
				t.Fatalf("If-Range %q with %s of %s: %v", tc.ifRange, o.ETag(), o.Modified(), got)
			}
		})
	}
}
