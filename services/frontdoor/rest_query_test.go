package frontdoor

import (
	"net/http"
	"strings"
	"testing"
)

// A query that is not heeded is refused: nothing happens that its sender did not ask for.
func TestQueries(t *testing.T) {
	w := crowded(t)
	for _, tc := range []struct {
		name, method, path string
		status             int
		message            string // a part of it
	}{
		{"put of a version", "PUT", "/v1/buckets/full/objects/key?versionId=0123456789abcdef", 400, "a PUT makes a version of its own"},
		{"put of a version, spelled as in the proto", "PUT", "/v1/buckets/full/objects/key?version_id=0123456789abcdef", 400, "a PUT makes a version of its own"},
		{"put with anything", "PUT", "/v1/buckets/full/objects/key?acl=public", 400, `"acl": PutObject takes none`},
		{"put with a broken query", "PUT", "/v1/buckets/full/objects/key?%zz", 400, "the query is malformed"},
		{"a bucket's scheme", "PUT", "/v1/buckets/new?scheme=rs-4-2", 400, `"scheme": CreateBucket takes none`},
		{"delete a bucket by force", "DELETE", "/v1/buckets/full?force=true", 400, `"force": DeleteBucket takes none`},
		{"delete with a typing error", "DELETE", "/v1/buckets/full/objects/key?versionid=0123456789abcdef", 400, `"versionid": DeleteObject takes versionId`},
		{"delete of an empty version", "DELETE", "/v1/buckets/full/objects/key?versionId=", 400, "versionId: it is empty"},
		{"delete of an empty version, spelled as in the proto", "DELETE", "/v1/buckets/full/objects/key?version_id=", 400, "version_id: it is empty"},
		{"list as in the proto", "GET", "/v1/buckets/full/objects?page_size=1&start_after=a&include_metadata=true", 200, ""},
		{"delete of two versions", "DELETE", "/v1/buckets/full/objects/key?versionId=0123456789abcdef&versionId=0123456789abcdee", 400, ""},
		{"delete with a condition in the query", "DELETE", "/v1/buckets/full/objects/key?preconditions.ifMatch=x", 400, "preconditions.ifMatch"},
		{"a range in the query", "GET", "/v1/buckets/full/objects/key?range=bytes%3D1-2", 400, `"range": GetObject takes versionId`},
		{"list with a typing error", "GET", "/v1/buckets/full/objects?prefx=a", 400, "ListObjects takes prefix, delimiter"},
		{"list with all", "GET", "/v1/buckets/full/objects?prefix=k&delimiter=/&pageSize=1&startAfter=a&includeMetadata=true&pageToken=", 200, ""},
		{"list buckets with all", "GET", "/v1/buckets?pageSize=1&pageToken=", 200, ""},
		{"what is not UTF-8", "GET", "/v1/cluster?%ff=1", 400, "GetCluster takes none"},
		{"no route", "GET", "/v1/nothing?x=y", 404, ""},
		{"no method", "POST", "/v1/buckets/full?x=y", 405, ""},
		{"probes may send what they like", "GET", "/healthz?verbose", 200, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := w.call(t, tc.method, tc.path, strings.NewReader(""))
			if a.status != tc.status || !strings.Contains(a.message, tc.message) {
				t.Fatalf("%d %q, want %d and %q: %s", a.status, a.message, tc.status, tc.message, a.body)
			}
			if tc.status == 400 && a.reason != "INVALID_ARGUMENT" {
				t.Errorf("reason %s", a.reason)
			}
		})
	}
	if got := w.call(t, "GET", "/v1/buckets/full/objects/key", nil); string(got.body) != "0123456789" {
		t.Errorf("afterwards: %d %q", got.status, got.body)
	}
}

func TestDeleteOfAVersion(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.bucket(t, "bbb")
	old := w.put(t, "bbb", "key", []byte("old")).header
	current := w.put(t, "bbb", "key", []byte("new")).header
	for _, tc := range []struct {
		name, version string
		headers       []string
		status        int
		reason        string
		left          bool
	}{
		{"the one before", old.Get(versionHeader), nil, 204, "", true},
		{"one that never was", "0123456789abcdef", nil, 204, "", true},
		{"no version's number", "0000000000000000", nil, 204, "", true},
		{"malformed", "latest", nil, 400, "INVALID_ARGUMENT", true},
		{"upper case", strings.ToUpper(current.Get(versionHeader)[:15]) + "A", nil, 400, "INVALID_ARGUMENT", true},
		{"current, if it is another", current.Get(versionHeader), []string{"If-Match", old.Get("ETag")}, 412, "PRECONDITION_FAILED", true},
		{"the one before, if it is current", old.Get(versionHeader), []string{"If-Match", old.Get("ETag")}, 412, "PRECONDITION_FAILED", true},
		{"current, if it is", current.Get(versionHeader), []string{"If-Match", current.Get("ETag")}, 204, "", false},
		{"current, again", current.Get(versionHeader), nil, 204, "", false},
		{"current, if there is any", current.Get(versionHeader), []string{"If-Match", "*"}, 412, "PRECONDITION_FAILED", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := w.call(t, "DELETE", objectURL("bbb", "key")+"?versionId="+tc.version, nil, tc.headers...)
			if a.status != tc.status || a.reason != tc.reason {
				t.Fatalf("%d %q, want %d %q: %s", a.status, a.reason, tc.status, tc.reason, a.body)
			}
			if left := w.call(t, "GET", objectURL("bbb", "key"), nil).status == http.StatusOK; left != tc.left {
				t.Errorf("the current version is left: %v", left)
			}
		})
	}
	for path, status := range map[string]int{
		"/v1/buckets/missing/objects/key?versionId=0123456789abcdef": 404,
		"/v1/buckets/bbb/objects/none?versionId=0123456789abcdef":    204,
	} {
		if a := w.call(t, "DELETE", path, nil); a.status != status {
			t.Errorf("%s: %d", path, a.status)
		}
	}
}

const versionHeader = "Drystone-Version-Id"

// HEAD has GET's headers and no body.
func TestHeadOfLists(t *testing.T) {
	w := crowded(t)
	for _, path := range []string{"/v1/buckets", "/v1/buckets/full/objects", "/v1/buckets/full/objects/", "/v1/buckets/full"} {
		get, head := w.call(t, "GET", path, nil), w.call(t, "HEAD", path, nil)
		if head.status != http.StatusOK || len(head.body) != 0 {
			t.Errorf("%s: %d with %d bytes", path, head.status, len(head.body))
		}
		for _, name := range []string{"Content-Length", "Content-Type"} {
			if got, want := head.header.Get(name), get.header.Get(name); got != want || want == "" {
				t.Errorf("%s: %s %q, want %q", path, name, got, want)
			}
		}
	}
}
