package frontdoor

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/minio/crc64nvme"
	"google.golang.org/grpc/codes"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// payload is bytes that are no pattern of any block.
func payload(n int) []byte {
	b := make([]byte, n)
	x := uint64(n) + 1
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return b
}

func crc64Bytes(b []byte) []byte { return binary.BigEndian.AppendUint64(nil, crc64nvme.Checksum(b)) }

func crc64(b []byte) string { return base64.StdEncoding.EncodeToString(crc64Bytes(b)) }

// crowded makes a world with something of everything.
func crowded(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, worldOptions{})
	w.bucket(t, "full")
	w.bucket(t, "empty")
	_, err := w.names.CreateBucket(t.Context(), &metadatav1.CreateBucketRequest{
		Tenant: "somebody else", Name: "theirs", Scheme: "rs-4-2",
	})
	if err != nil {
		t.Fatal(err)
	}
	w.put(t, "full", "key", []byte("0123456789"))
	return w
}

func TestStatuses(t *testing.T) {
	w := crowded(t)
	current := w.call(t, "HEAD", "/v1/buckets/full/objects/key", nil).header
	longKey := strings.Repeat("k", 1025)
	for _, tc := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		reason                   string
	}{
		{name: "make a bucket", method: "PUT", path: "/v1/buckets/new", status: 200},
		{name: "make an own bucket again", method: "PUT", path: "/v1/buckets/full", status: 200},
		{name: "make a bucket with a scheme", method: "PUT", path: "/v1/buckets/schemed", body: `{"scheme":"rs-4-2"}`, status: 200},
		{name: "make an own bucket again with its scheme", method: "PUT", path: "/v1/buckets/schemed", body: `{"scheme":"rs-4-2"}`, status: 200},
		{name: "make an own bucket again with another scheme", method: "PUT", path: "/v1/buckets/schemed", body: `{"scheme":"rs-5-4"}`, status: 409, reason: "BUCKET_ALREADY_EXISTS"},
		{name: "make an own bucket again with any scheme", method: "PUT", path: "/v1/buckets/schemed", status: 200},
		{name: "make a bucket with no scheme", method: "PUT", path: "/v1/buckets/other", body: `{"scheme":"raid"}`, status: 400, reason: "INVALID_SCHEME"},
		{name: "make a bucket with a scheme that does not fit", method: "PUT", path: "/v1/buckets/other", body: `{"scheme":"rs-8-4"}`, status: 400, reason: "SCHEME_DOES_NOT_FIT"},
		{name: "make a bucket with a typing error", method: "PUT", path: "/v1/buckets/other", body: `{"sceme":"rs-4-2"}`, status: 400, reason: "INVALID_ARGUMENT"},
		{name: "make a bucket with rubbish", method: "PUT", path: "/v1/buckets/other", body: `{`, status: 400, reason: "INVALID_ARGUMENT"},
		{name: "make a bucket with megabytes", method: "PUT", path: "/v1/buckets/other", body: strings.Repeat(" ", 1<<20), status: 400, reason: "INVALID_ARGUMENT"},
		{name: "make another's bucket", method: "PUT", path: "/v1/buckets/theirs", status: 403, reason: "ACCESS_DENIED"},
		{name: "make a bucket of a bad name", method: "PUT", path: "/v1/buckets/B", status: 400, reason: "INVALID_BUCKET_NAME"},
		{name: "make a bucket of an ugly name", method: "PUT", path: "/v1/buckets/%FF%00%20", status: 400, reason: "INVALID_BUCKET_NAME"},
		{name: "read a bucket", method: "GET", path: "/v1/buckets/full", status: 200},
		{name: "head of a bucket", method: "HEAD", path: "/v1/buckets/full", status: 200},
		{name: "read a missing bucket", method: "GET", path: "/v1/buckets/missing", status: 404, reason: "NO_SUCH_BUCKET"},
		{name: "head of a missing bucket", method: "HEAD", path: "/v1/buckets/missing", status: 404},
		{name: "read another's bucket", method: "GET", path: "/v1/buckets/theirs", status: 403, reason: "ACCESS_DENIED"},
		{name: "read a bucket of no name", method: "GET", path: "/v1/buckets/", status: 404, reason: "NO_SUCH_BUCKET"},
		{name: "read a bucket of an ugly name", method: "GET", path: "/v1/buckets/%FF", status: 404, reason: "NO_SUCH_BUCKET"},
		{name: "head of the buckets", method: "HEAD", path: "/v1/buckets", status: 200},
		{name: "list buckets", method: "GET", path: "/v1/buckets", status: 200},
		{name: "list buckets with a bad token", method: "GET", path: "/v1/buckets?pageToken=x", status: 400, reason: "INVALID_PAGE_TOKEN"},
		{name: "remove a full bucket", method: "DELETE", path: "/v1/buckets/full", status: 409, reason: "BUCKET_NOT_EMPTY"},
		{name: "remove another's bucket", method: "DELETE", path: "/v1/buckets/theirs", status: 403, reason: "ACCESS_DENIED"},
		{name: "remove an empty bucket", method: "DELETE", path: "/v1/buckets/empty", status: 204},
		{name: "remove a missing bucket", method: "DELETE", path: "/v1/buckets/missing", status: 204},

		{name: "put", method: "PUT", path: "/v1/buckets/full/objects/new", body: "x", status: 200},
		{name: "put nothing", method: "PUT", path: "/v1/buckets/full/objects/empty", status: 200},
		{name: "put into a missing bucket", method: "PUT", path: "/v1/buckets/missing/objects/k", body: "x", status: 404, reason: "NO_SUCH_BUCKET"},
		{name: "put into another's bucket", method: "PUT", path: "/v1/buckets/theirs/objects/k", body: "x", status: 403, reason: "ACCESS_DENIED"},
		{name: "put with no key", method: "PUT", path: "/v1/buckets/full/objects/", body: "x", status: 400, reason: "INVALID_KEY"},
		{name: "put with a key that is too long", method: "PUT", path: "/v1/buckets/full/objects/" + longKey, body: "x", status: 400, reason: "KEY_TOO_LONG"},
		{name: "put with a key that is not UTF-8", method: "PUT", path: "/v1/buckets/full/objects/%FF", body: "x", status: 400, reason: "INVALID_KEY"},
		{name: "put with a NUL in the key", method: "PUT", path: "/v1/buckets/full/objects/a%00b", body: "x", status: 400, reason: "INVALID_KEY"},
		{name: "put with metadata over its bound", method: "PUT", path: "/v1/buckets/full/objects/k", body: "x", headers: []string{"Drystone-Meta-A", strings.Repeat("v", 2048)}, status: 400, reason: "METADATA_TOO_LARGE"},
		{name: "put with a wrong checksum", method: "PUT", path: "/v1/buckets/full/objects/k", body: "x", headers: []string{"Drystone-Checksum-Crc64nvme", "AAAAAAAAAAA="}, status: 400, reason: "BAD_CHECKSUM"},
		{name: "put with a checksum of rubbish", method: "PUT", path: "/v1/buckets/full/objects/k", body: "x", headers: []string{"Content-MD5", "rubbish"}, status: 400, reason: "INVALID_ARGUMENT"},
		{name: "put with a checksum of another width", method: "PUT", path: "/v1/buckets/full/objects/k", body: "x", headers: []string{"Content-MD5", "AAAA"}, status: 400, reason: "INVALID_ARGUMENT"},
		{name: "put a part", method: "PUT", path: "/v1/buckets/full/objects/k", body: "x", headers: []string{"Content-Range", "bytes 0-0/2"}, status: 400, reason: "INVALID_ARGUMENT"},
		{name: "put if absent, and it is", method: "PUT", path: "/v1/buckets/full/objects/fresh", body: "x", headers: []string{"If-None-Match", "*"}, status: 200},
		{name: "put if absent, and it is not", method: "PUT", path: "/v1/buckets/full/objects/key", body: "x", headers: []string{"If-None-Match", "*"}, status: 412, reason: "PRECONDITION_FAILED"},
		{name: "put if it matches, and it does not", method: "PUT", path: "/v1/buckets/full/objects/key", body: "x", headers: []string{"If-Match", `"other"`}, status: 412, reason: "PRECONDITION_FAILED"},
		{name: "put if it matches, and there is none", method: "PUT", path: "/v1/buckets/full/objects/none", body: "x", headers: []string{"If-Match", "*"}, status: 412, reason: "PRECONDITION_FAILED"},

		{name: "get", method: "GET", path: "/v1/buckets/full/objects/key", status: 200},
		{name: "get of a version", method: "GET", path: "/v1/buckets/full/objects/key?versionId=" + current.Get("Drystone-Version-Id"), status: 200},
		{name: "get of another version", method: "GET", path: "/v1/buckets/full/objects/key?versionId=0123456789abcdef", status: 404, reason: "NO_SUCH_VERSION"},
		{name: "get of no version", method: "GET", path: "/v1/buckets/full/objects/key?versionId=0000000000000000", status: 404, reason: "NO_SUCH_VERSION"},
		{name: "get of a malformed version", method: "GET", path: "/v1/buckets/full/objects/key?versionId=latest", status: 400, reason: "INVALID_ARGUMENT"},
		{name: "get of a missing key", method: "GET", path: "/v1/buckets/full/objects/missing", status: 404, reason: "NO_SUCH_KEY"},
		{name: "get from a missing bucket", method: "GET", path: "/v1/buckets/missing/objects/key", status: 404, reason: "NO_SUCH_BUCKET"},
		{name: "get from another's bucket", method: "GET", path: "/v1/buckets/theirs/objects/key", status: 403, reason: "ACCESS_DENIED"},
		{name: "get of a key that is too long", method: "GET", path: "/v1/buckets/full/objects/" + longKey, status: 400, reason: "KEY_TOO_LONG"},
		{name: "get of a range", method: "GET", path: "/v1/buckets/full/objects/key", headers: []string{"Range", "bytes=1-2"}, status: 206},
		{name: "get of a range beyond", method: "GET", path: "/v1/buckets/full/objects/key", headers: []string{"Range", "bytes=10-"}, status: 416, reason: "RANGE_NOT_SATISFIABLE"},
		{name: "get of a malformed range", method: "GET", path: "/v1/buckets/full/objects/key", headers: []string{"Range", "bytes=x"}, status: 200},
		{name: "get of several ranges", method: "GET", path: "/v1/buckets/full/objects/key", headers: []string{"Range", "bytes=0-1,3-4"}, status: 200},
		{name: "get if it changed", method: "GET", path: "/v1/buckets/full/objects/key", headers: []string{"If-None-Match", current.Get("ETag")}, status: 304},
		{name: "get if it changed since", method: "GET", path: "/v1/buckets/full/objects/key", headers: []string{"If-Modified-Since", current.Get("Last-Modified")}, status: 304},
		{name: "get if it changed since nonsense", method: "GET", path: "/v1/buckets/full/objects/key", headers: []string{"If-Modified-Since", "yesterday"}, status: 200},
		{name: "get if it is still the same", method: "GET", path: "/v1/buckets/full/objects/key", headers: []string{"If-Match", current.Get("ETag")}, status: 200},
		{name: "get if it is another", method: "GET", path: "/v1/buckets/full/objects/key", headers: []string{"If-Match", `"other"`}, status: 412, reason: "PRECONDITION_FAILED"},
		{name: "get if it did not change since", method: "GET", path: "/v1/buckets/full/objects/key", headers: []string{"If-Unmodified-Since", "Mon, 01 Jan 2001 00:00:00 GMT"}, status: 412, reason: "PRECONDITION_FAILED"},
		{name: "a malformed tag", method: "GET", path: "/v1/buckets/full/objects/key", headers: []string{"If-Match", `"`}, status: 400, reason: "INVALID_ARGUMENT"},
		{name: "head", method: "HEAD", path: "/v1/buckets/full/objects/key", status: 200},
		{name: "head of a missing key", method: "HEAD", path: "/v1/buckets/full/objects/missing", status: 404},
		{name: "head if it changed", method: "HEAD", path: "/v1/buckets/full/objects/key", headers: []string{"If-None-Match", "*"}, status: 304},
		{name: "delete if it is another", method: "DELETE", path: "/v1/buckets/full/objects/key", headers: []string{"If-Match", `"other"`}, status: 412, reason: "PRECONDITION_FAILED"},
		{name: "delete if it is the one", method: "DELETE", path: "/v1/buckets/full/objects/key", headers: []string{"If-Match", current.Get("ETag")}, status: 204},
		{name: "delete what is gone", method: "DELETE", path: "/v1/buckets/full/objects/key", status: 204},
		{name: "delete from a missing bucket", method: "DELETE", path: "/v1/buckets/missing/objects/key", status: 404, reason: "NO_SUCH_BUCKET"},
		{name: "delete from another's bucket", method: "DELETE", path: "/v1/buckets/theirs/objects/key", status: 403, reason: "ACCESS_DENIED"},

		{name: "list", method: "GET", path: "/v1/buckets/full/objects", status: 200},
		{name: "list with a slash", method: "GET", path: "/v1/buckets/full/objects/", status: 200},
		{name: "head of a list", method: "HEAD", path: "/v1/buckets/full/objects?prefix=k", status: 200},
		{name: "head of a list with a slash", method: "HEAD", path: "/v1/buckets/full/objects/", status: 200},
		{name: "head of a list of a missing bucket", method: "HEAD", path: "/v1/buckets/missing/objects", status: 404},
		{name: "list a missing bucket", method: "GET", path: "/v1/buckets/missing/objects", status: 404, reason: "NO_SUCH_BUCKET"},
		{name: "list another's bucket", method: "GET", path: "/v1/buckets/theirs/objects", status: 403, reason: "ACCESS_DENIED"},
		{name: "list with a bad token", method: "GET", path: "/v1/buckets/full/objects?pageToken=AAAA", status: 400, reason: "INVALID_PAGE_TOKEN"},
		{name: "list with a bad size", method: "GET", path: "/v1/buckets/full/objects?pageSize=many", status: 400, reason: "INVALID_ARGUMENT"},
		{name: "list with a negative size", method: "GET", path: "/v1/buckets/full/objects?pageSize=-1", status: 400, reason: "INVALID_ARGUMENT"},
		{name: "list with a broken query", method: "GET", path: "/v1/buckets/full/objects?prefix=%zz", status: 400, reason: "INVALID_ARGUMENT"},
		{name: "list with a prefix that is not UTF-8", method: "GET", path: "/v1/buckets/full/objects?prefix=%FF", status: 400, reason: "INVALID_ARGUMENT"},

		{name: "cluster", method: "GET", path: "/v1/cluster", status: 200},
		{name: "head of the cluster", method: "HEAD", path: "/v1/cluster", status: 200},
		{name: "no route", method: "GET", path: "/v1/nothing", status: 404, reason: "NO_SUCH_ROUTE"},
		{name: "the root", method: "GET", path: "/", status: 404, reason: "NO_SUCH_ROUTE"},
		{name: "no method", method: "POST", path: "/v1/buckets/full/objects/key", body: "x", status: 405, reason: "METHOD_NOT_ALLOWED"},
		{name: "no method of a list", method: "PUT", path: "/v1/buckets/full/objects", body: "x", status: 405, reason: "METHOD_NOT_ALLOWED"},
		{name: "no method override", method: "POST", path: "/v1/buckets/full", headers: []string{"X-HTTP-Method-Override", "DELETE", "Content-Type", "application/x-www-form-urlencoded"}, status: 405, reason: "METHOD_NOT_ALLOWED"},
		{name: "no method of health", method: "DELETE", path: "/healthz", status: 405, reason: "METHOD_NOT_ALLOWED"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var body io.Reader
			if tc.body != "" {
				body = strings.NewReader(tc.body)
			}
			a := w.call(t, tc.method, tc.path, body, tc.headers...)
			if a.status != tc.status || a.reason != tc.reason {
				t.Fatalf("%d %q, want %d %q: %s", a.status, a.reason, tc.status, tc.reason, a.body)
			}
			if a.header.Get("X-Request-Id") == "" || a.header.Get("X-Request-Id") != a.header.Get("Drystone-Request-Id") {
				t.Error("no request id")
			}
			if empty := a.status == 204 || a.status == 304 || tc.method == "HEAD"; empty != (len(a.body) == 0) {
				t.Errorf("a body of %d bytes", len(a.body))
			}
			if a.status == 405 && a.header.Get("Allow") == "" {
				t.Error("nothing says what is allowed")
			}
			if a.status >= 300 && a.status != 304 && a.header.Get("Content-Type") != "application/json" {
				t.Errorf("an error of type %q", a.header.Get("Content-Type"))
			}
		})
	}
	if w.volumes.Streams() != 0 {
		t.Error("streams are open")
	}
}

func TestTokens(t *testing.T) {
	w := crowded(t)
	for _, tc := range []struct {
		name, method, path, authorization string
		status                            int
	}{
		{"none", "GET", "/v1/buckets", "", 401},
		{"wrong", "GET", "/v1/buckets", "Bearer wrong-token-wrong-token", 401},
		{"another scheme", "GET", "/v1/buckets", "Basic " + testToken, 401},
		{"right", "GET", "/v1/buckets", "Bearer " + testToken, 200},
		{"unknown paths tell nothing", "GET", "/v1/nothing", "", 401},
		{"delete", "DELETE", "/v1/buckets/full/objects/key", "", 401},
		{"put", "PUT", "/v1/buckets/full/objects/key", "", 401},
		{"health needs none", "GET", "/healthz", "", 200},
		{"readiness needs none", "GET", "/readyz", "", 200},
		{"the description needs none", "GET", "/openapi.json", "", 200},
		{"what looks like health does", "GET", "/healthz/", "", 401},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), tc.method, "http://"+w.rest+tc.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if tc.authorization != "" {
				req.Header.Set("Authorization", tc.authorization)
			}
			a := w.do(t, req)
			if a.status != tc.status {
				t.Fatalf("%d %s", a.status, a.body)
			}
			if a.status == 401 && (a.reason != "UNAUTHENTICATED" || a.header.Get("WWW-Authenticate") == "") {
				t.Fatalf("%q %v", a.reason, a.header)
			}
		})
	}
	if got := w.call(t, "GET", "/v1/buckets/full/objects/key", nil); string(got.body) != "0123456789" {
		t.Fatalf("without a token it became %q", got.body)
	}
}

// Errors of the mesh come out with the status that says what to do, and nobody learns what went wrong inside.
func TestErrorsOfTheMesh(t *testing.T) {
	w := crowded(t)
	for _, tc := range []struct {
		name   string
		err    error
		status int
		reason string
	}{
		{"not enough disks", fault.New(codes.Unavailable, typesv1.Reason_REASON_NOT_ENOUGH_DISKS, "too few").WithRetryAfter(1500 * time.Millisecond), 503, "NOT_ENOUGH_DISKS"},
		{"overload of a limiter", fault.New(codes.ResourceExhausted, typesv1.Reason_REASON_OVERLOADED, "busy").WithRetryAfter(100 * time.Millisecond), 429, "OVERLOADED"},
		{"overload without a delay", fault.New(codes.Unavailable, typesv1.Reason_REASON_OVERLOADED, "busy"), 503, "OVERLOADED"},
		{"breaker", fault.New(codes.Unavailable, typesv1.Reason_REASON_BREAKER_OPEN, "open"), 503, "BREAKER_OPEN"},
		{"deadline", fault.New(codes.DeadlineExceeded, typesv1.Reason_REASON_DEADLINE_EXCEEDED, "late"), 504, "DEADLINE_EXCEEDED"},
		{"a disk is full", fault.New(codes.ResourceExhausted, typesv1.Reason_REASON_DISK_FULL, "full"), 503, "UNAVAILABLE"},
		{"a bug", fault.Bug("secret internals"), 500, "INTERNAL"},
		{"any error", io.ErrClosedPipe, 500, "INTERNAL"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w.volumes.Fail(tc.err)
			a := w.call(t, "PUT", "/v1/buckets/full/objects/x", strings.NewReader("x"))
			if a.status != tc.status || a.reason != tc.reason {
				t.Fatalf("%d %q: %s", a.status, a.reason, a.body)
			}
			if retry := a.header.Get("Retry-After"); (retry != "") != (tc.status == 503 || tc.status == 429) {
				t.Fatalf("Retry-After %q", retry)
			}
			if strings.Contains(string(a.body), "secret") || strings.Contains(string(a.body), "pipe") {
				t.Fatalf("it tells: %s", a.body)
			}
		})
	}
	w.volumes.Fail(fault.New(codes.Unavailable, typesv1.Reason_REASON_NOT_ENOUGH_DISKS, "too few").WithRetryAfter(1500 * time.Millisecond))
	if a := w.call(t, "PUT", "/v1/buckets/full/objects/x", strings.NewReader("x")); a.header.Get("Retry-After") != "2" {
		t.Fatalf("Retry-After %q, want 1.5 s rounded up", a.header.Get("Retry-After"))
	}
}

func TestHeaders(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.bucket(t, "bbb")
	for _, size := range []int{0, 1, 10, 300 << 10} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			data := payload(size)
			key := fmt.Sprintf("size %d", size)
			put := w.put(t, "bbb", key, data, "Content-Type", "image/png; x=y", "Drystone-Meta-Colour", "blau 🟦",
				"Drystone-Meta-UPPER-case", "Kept", "Drystone-Meta-Empty", "")
			var answered struct {
				Key, Size, Etag, VersionID, LastModified, ChecksumCrc64nvme string
			}
			decode(t, put.body, &answered)
			tag := put.header.Get("ETag")
			version := put.header.Get("Drystone-Version-Id")
			want := fmt.Sprintf(`"%016x%s-0"`, crc64nvme.Checksum(data), version)
			if tag != want || answered.Etag != want || len(version) != 16 || answered.VersionID != version {
				t.Fatalf("ETag %s, version %s, want %s; %+v", tag, version, want, answered)
			}
			if sum := put.header.Get("Drystone-Checksum-Crc64nvme"); sum != crc64(data) || answered.ChecksumCrc64nvme != sum {
				t.Fatalf("checksum %s, want %s; %+v", sum, crc64(data), answered)
			}
			if answered.Size != fmt.Sprint(size) || answered.Key != key {
				t.Fatalf("%+v", answered)
			}
			get := w.call(t, "GET", objectURL("bbb", key), nil)
			head := w.call(t, "HEAD", objectURL("bbb", key), nil)
			if !bytes.Equal(get.body, data) {
				t.Fatal("it came back changed")
			}
			modified, err := time.Parse(time.RFC3339, answered.LastModified)
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range map[string]string{
				"Content-Length": fmt.Sprint(size), "Content-Type": "image/png; x=y", "ETag": tag, "Accept-Ranges": "bytes",
				"Last-Modified": modified.UTC().Format(http.TimeFormat), "Drystone-Version-Id": version,
				"Drystone-Checksum-Crc64nvme": crc64(data), "Drystone-Meta-Colour": "blau 🟦",
				"Drystone-Meta-Upper-Case": "Kept", "Drystone-Meta-Empty": "", "Content-Range": "",
			} {
				if got := get.header.Get(name); got != value {
					t.Errorf("GET %s: %q, want %q", name, got, value)
				}
				if got := head.header.Get(name); got != value {
					t.Errorf("HEAD %s: %q, want %q", name, got, value)
				}
			}
			for name := range get.header {
				if _, ok := head.header[name]; !ok {
					t.Errorf("HEAD lacks %s", name)
				}
			}
		})
	}
	w.put(t, "bbb", "untyped", nil)
	if got := w.call(t, "GET", objectURL("bbb", "untyped"), nil).header.Get("Content-Type"); got != "application/octet-stream" {
		t.Errorf("Content-Type %q", got)
	}
}

func TestValidatorsOfRefusals(t *testing.T) {
	w := crowded(t)
	head := w.call(t, "HEAD", "/v1/buckets/full/objects/key", nil).header
	for name, headers := range map[string][]string{
		"304": {"If-None-Match", "*"}, "412": {"If-Match", `"other"`},
	} {
		a := w.call(t, "GET", "/v1/buckets/full/objects/key", nil, headers...)
		if a.header.Get("ETag") != head.Get("ETag") || a.header.Get("Last-Modified") != head.Get("Last-Modified") {
			t.Errorf("%s: %v", name, a.header)
		}
	}
	a := w.call(t, "GET", "/v1/buckets/full/objects/key", nil, "Range", "bytes=10-")
	if got := a.header.Get("Content-Range"); got != "bytes */10" {
		t.Errorf("416: Content-Range %q", got)
	}
}

func TestRequestID(t *testing.T) {
	w := newWorld(t, worldOptions{})
	for id, keep := range map[string]bool{
		"abc-123_X.y": true, "": false, "with space": false, strings.Repeat("x", 65): false, "<script>": false,
	} {
		a := w.call(t, "GET", "/v1/buckets", nil, "X-Request-Id", id)
		if got := a.header.Get("X-Request-Id"); (got == id) != keep || got == "" {
			t.Errorf("%q became %q", id, got)
		}
	}
	if !strings.Contains(w.logs.String(), `"correlationId":"abc-123_X.y"`) {
		t.Error("the id is in no log line")
	}
}

// Logs tell what happened, and not to which key.
func TestLogLine(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.bucket(t, "bbb")
	w.put(t, "bbb", "very secret key", []byte("very secret bytes"), "Drystone-Meta-A", "very secret metadata")
	w.call(t, "GET", objectURL("bbb", "very secret key"), nil)
	logs := w.logs.String()
	for _, want := range []string{
		`"op":"PutObject"`, `"op":"GetObject"`, `"status":200`, `"tenantId":"root"`, `"latencyMs":`, `"bytesIn":17`, `"bytesOut":17`,
		`"keyHash":`,
	} {
		if !strings.Contains(logs, want) {
			t.Errorf("no %s in %s", want, logs)
		}
	}
	for _, secret := range []string{"very secret", "very%20secret", testToken} {
		if strings.Contains(logs, secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
}
