package names_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/metadata/internal/head"
	"github.com/drystone-store/drystone/services/metadata/internal/names"
)

// naive is what a list must return, the slow and obvious way: everything at once.
func naive(keys []string, q names.ListQuery) (items []string) {
	slices.Sort(keys)
	for _, key := range keys {
		if !strings.HasPrefix(key, q.Prefix) {
			continue
		}
		item := key
		if q.Delimiter != "" {
			if before, _, ok := strings.Cut(key[len(q.Prefix):], q.Delimiter); ok {
				item = q.Prefix + before + q.Delimiter
			}
		}
		hidden := item != key && item == q.StartAfter // a rolled-up prefix skips all its keys
		if key > q.StartAfter && !hidden && !slices.Contains(items, item) {
			items = append(items, item)
		}
	}
	return items
}

// items are a page's keys and prefixes as one list.
func items(p names.Page) []string {
	list := slices.Clone(p.Prefixes)
	for _, v := range p.Versions {
		list = append(list, v.GetKey())
	}
	slices.Sort(list)
	return list
}

// counting counts the rows that scans visit.
type counting struct {
	head.Index
	visits *int
}

func (c counting) Read(ctx context.Context, use func(head.View) error) error {
	return c.Index.Read(ctx, func(v head.View) error { return use(countingView{v, c.visits}) })
}

type countingView struct {
	head.View
	visits *int
}

func (c countingView) Scan(from, to string, visit func(head.Row) (string, bool)) {
	c.View.Scan(from, to, func(r head.Row) (string, bool) {
		*c.visits++
		return visit(r)
	})
}

// Constraint 7: any list, page by page, is what the naive list is, and each page visits one row for each of its items
// and one more.
func TestListMatchesNaive(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n, index, w := onMemory()
		visits := 0
		lister := names.New(counting{index, &visits}, nil, w.now)
		b := mustCreate(t, n, "bucket")
		key := rapid.StringOfN(rapid.SampledFrom([]rune("ab/~é\U0010ffff")), 1, 6, -1)
		live := map[string]bool{}
		for range rapid.IntRange(0, 40).Draw(rt, "writes") {
			k := key.Draw(rt, "key")
			if live[k] && rapid.IntRange(0, 2).Draw(rt, "delete") == 0 {
				mustCommit(t, n, del(b, k))
				delete(live, k)
			} else {
				mustCommit(t, n, put(b, k, k))
				live[k] = true
			}
		}
		var keys []string
		for k := range live {
			keys = append(keys, k)
		}
		q := names.ListQuery{
			Bucket:     "bucket",
			Prefix:     rapid.StringOfN(rapid.SampledFrom([]rune("ab/é")), 0, 2, -1).Draw(rt, "prefix"),
			Delimiter:  rapid.SampledFrom([]string{"", "/", "a", "~/", "é", "\U0010ffff"}).Draw(rt, "delimiter"),
			StartAfter: rapid.OneOf(rapid.Just(""), key).Draw(rt, "start after"),
			Limit:      rapid.IntRange(1, 5).Draw(rt, "limit"),
		}
		want := naive(keys, q)
		var got []string
		for {
			visits = 0
			page, err := lister.ListVersions(t.Context(), q)
			if err != nil {
				rt.Fatal(err)
			}
			list := items(page)
			if len(list) > q.Limit || (page.Next != "" && len(list) != q.Limit) {
				rt.Fatalf("page of %d items with limit %d, next %q", len(list), q.Limit, page.Next)
			}
			if visits > len(list)+1 {
				rt.Fatalf("%d items cost %d visits", len(list), visits)
			}
			got = append(got, list...)
			if page.Next == "" {
				break
			}
			q.StartAfter = page.Next
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("query %+v over %q (-want +got):\n%s", q, keys, diff)
		}
	})
}

func TestListDoesNotPayForTombstones(t *testing.T) {
	n, index, w := onMemory()
	b := mustCreate(t, n, "bucket")
	for i := range 500 {
		k := fmt.Sprintf("%03d", i)
		mustCommit(t, n, put(b, k, ""))
		if i != 499 {
			mustCommit(t, n, del(b, k))
		}
	}
	visits := 0
	page, err := names.New(counting{index, &visits}, nil, w.now).
		ListVersions(t.Context(), names.ListQuery{Bucket: "bucket", Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"499"}, items(page)); diff != "" || visits != 1 {
		t.Errorf("%d visits (-want +got):\n%s", visits, diff)
	}
}

func TestListEndsPagesOfLargeRowsEarly(t *testing.T) {
	n, _, _ := onMemory()
	b := mustCreate(t, n, "bucket")
	for i := range 100 {
		mustCommit(t, n, put(b, fmt.Sprintf("%03d", i), strings.Repeat("x", 60<<10)))
	}
	q := names.ListQuery{Bucket: "bucket", Limit: 1000}
	total, pages := 0, 0
	for {
		page, err := n.ListVersions(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		total, pages = total+len(page.Versions), pages+1
		if q.StartAfter = page.Next; page.Next == "" {
			break
		}
	}
	if total != 100 || pages != 2 {
		t.Errorf("%d rows on %d pages, want 100 on 2", total, pages)
	}
}

func TestListReturnsWholeRows(t *testing.T) {
	n, _, _ := onMemory()
	b := mustCreate(t, n, "bucket")
	m := put(b, "k", "text/plain")
	r := mustCommit(t, n, m)
	page, err := n.ListVersions(t.Context(), names.ListQuery{Bucket: "bucket", Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	want := &metadatav1.VersionRow{
		WriteId: m.GetRow().GetWriteId(), Version: r.Version, Size: m.GetRow().GetSize(), ContentType: "text/plain",
		Tenant: tenant, BucketId: b.GetId(),
	}
	if diff := cmp.Diff(want, page.Versions[0].GetRow(), ignoreProto()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(b, page.Bucket, ignoreProto()); diff != "" {
		t.Errorf("bucket (-want +got):\n%s", diff)
	}
	if _, err := n.ListVersions(t.Context(), names.ListQuery{Bucket: "other", Limit: 1}); !fault.Is(err, typesv1.Reason_REASON_NO_SUCH_BUCKET) {
		t.Errorf("list of no bucket: %v", err)
	}
}
