package frontdoor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestListJSON(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.bucket(t, "bbb")
	empty := w.call(t, "GET", "/v1/buckets/bbb/objects", nil)
	if got := string(empty.body); got != `{"objects":[],"prefixes":[],"nextPageToken":""}` {
		t.Fatal(got)
	}
	if empty.header.Get("Content-Type") != "application/json" || empty.header.Get("Content-Length") != fmt.Sprint(len(empty.body)) {
		t.Fatal(empty.header)
	}
	put := w.put(t, "bbb", "k", []byte("hello"), "Content-Type", "text/plain", "Drystone-Meta-A", "b")
	w.put(t, "bbb", "none", nil)
	for query, extra := range map[string]bool{"": false, "?includeMetadata=true": true, "?include_metadata=true": true} {
		a := w.call(t, "GET", "/v1/buckets/bbb/objects"+query, nil)
		var page struct {
			Objects []map[string]any
		}
		decode(t, a.body, &page)
		want := map[string]any{
			"key": "k", "size": "5", "etag": put.header.Get("ETag"), "versionId": put.header.Get("Drystone-Version-Id"),
			"lastModified": page.Objects[0]["lastModified"],
		}
		if extra {
			want["contentType"], want["metadata"] = "text/plain", map[string]any{"a": "b"}
		}
		got, err := json.Marshal(page.Objects[0])
		if err != nil {
			t.Fatal(err)
		}
		expected, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, expected) || page.Objects[0]["lastModified"] == nil {
			t.Errorf("%q: %s, want %s", query, got, expected)
		}
		if page.Objects[1]["size"] != "0" {
			t.Errorf("an empty object has size %v", page.Objects[1]["size"])
		}
	}
}

// Whatever the keys, all pages together are the keys of the prefix in order, rolled up.
func TestPagesMakeTheListing(t *testing.T) {
	w := newWorld(t, worldOptions{})
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		bucket := fmt.Sprintf("bucket-%d", n)
		w.bucket(t, bucket)
		key := rapid.StringMatching(`[ab/%~]{1,5}`)
		keys := slices.Compact(slices.Sorted(slices.Values(rapid.SliceOfN(key, 0, 12).Draw(rt, "keys"))))
		for _, k := range keys {
			w.put(t, bucket, k, nil)
		}
		prefix := rapid.StringMatching(`[ab/]{0,2}`).Draw(rt, "prefix")
		delimiter := rapid.SampledFrom([]string{"", "/", "a", "//"}).Draw(rt, "delimiter")
		size := rapid.IntRange(1, 5).Draw(rt, "size")
		after := rapid.SampledFrom([]string{"", "a", "b/"}).Draw(rt, "after")
		query := "&prefix=" + escape(prefix) + "&delimiter=" + escape(delimiter) + "&startAfter=" + escape(after)
		got := listAll(t, w, bucket, query, size)
		slices.Sort(got)
		if want := expected(keys, prefix, delimiter, after); !slices.Equal(got, want) {
			rt.Fatalf("%q, want %q of %q", got, want, keys)
		}
	})
}

func expected(keys []string, prefix, delimiter, after string) []string {
	var want []string
	for _, k := range keys {
		if !strings.HasPrefix(k, prefix) || k <= after {
			continue
		}
		if i := strings.Index(k[len(prefix):], delimiter); delimiter != "" && i >= 0 {
			k = k[:len(prefix)+i+len(delimiter)]
			if k <= after {
				continue
			}
		}
		want = append(want, k)
	}
	slices.Sort(want)
	return slices.Compact(want)
}

func TestListBuckets(t *testing.T) {
	w := newWorld(t, worldOptions{})
	if got := string(w.call(t, "GET", "/v1/buckets", nil).body); !jsonEqual(t, got, `{"buckets":[],"nextPageToken":""}`) {
		t.Fatal(got)
	}
	var want, got []string
	for i := range 5 {
		name := fmt.Sprintf("bucket-%d", i)
		w.bucket(t, name)
		want = append(want, name)
	}
	for token := ""; ; {
		a := w.call(t, "GET", "/v1/buckets?pageSize=2&pageToken="+token, nil)
		var page struct {
			Buckets       []struct{ Name, Scheme, CreateTime string }
			NextPageToken string
		}
		decode(t, a.body, &page)
		for _, b := range page.Buckets {
			if b.Scheme != "rs-5-4" || b.CreateTime == "" {
				t.Fatalf("%+v", b)
			}
			got = append(got, b.Name)
		}
		if token = page.NextPageToken; token == "" {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%q", got)
	}
}

func TestCluster(t *testing.T) {
	w := newWorld(t, worldOptions{})
	a := w.call(t, "GET", "/v1/cluster", nil)
	var c struct {
		ClusterID, DefaultScheme, WriteScheme, Floor, Version, Time string
		Zones                                                       []struct {
			Name  string
			Nodes []struct {
				Name, State string
				Disks       []struct{ ID, State, CapacityBytes string }
			}
		}
		Volumes struct{ Open string }
	}
	decode(t, a.body, &c)
	if a.status != http.StatusOK || c.ClusterID != "in-memory" || c.DefaultScheme != "rs-5-4" || c.WriteScheme != "rs-5-4" ||
		len(c.Zones) != 1 || c.Zones[0].Nodes[0].State != "up" || c.Zones[0].Nodes[0].Disks[0].State != "ok" || c.Volumes.Open != "1" {
		t.Fatalf("%d %s", a.status, a.body)
	}
}

func jsonEqual(t testing.TB, a, b string) bool {
	t.Helper()
	var x, y any
	decode(t, []byte(a), &x)
	decode(t, []byte(b), &y)
	return fmt.Sprint(x) == fmt.Sprint(y)
}
