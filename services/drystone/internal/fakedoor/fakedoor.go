// Package fakedoor is a front-door for tests of what calls one: the REST object API over memory, with faults to order.
package fakedoor

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/crc64nvme"
)

// Token is the only token that the fake takes.
const Token = "drystone_test"

// PageSize is how much a page of a listing holds: little, so that tests see several.
const PageSize = 3

const (
	checksumHeader = "Drystone-Checksum-Crc64nvme"
	versionHeader  = "Drystone-Version-Id"
	metaPrefix     = "Drystone-Meta-"
)

// Object is a stored object.
type Object struct {
	Data        []byte
	ContentType string
	Meta        map[string]string
	Version     string
}

// Fault is a refusal to order.
type Fault struct {
	Status     int
	Reason     string
	RetryAfter int // seconds
}

// Door is a fake front-door.
type Door struct {
	URL string

	mu      sync.Mutex
	buckets map[string]map[string]*Object
	next    int
	faults  []Fault
	calls   []string
	cut     int
	lie     bool
}

// Start runs a fake for the length of a test.
func Start(t *testing.T) *Door {
	t.Helper()
	d := &Door{buckets: map[string]map[string]*Object{}}
	server := httptest.NewUnstartedServer(http.HandlerFunc(d.serve))
	server.Config.ErrorLog = nil
	server.Start()
	t.Cleanup(server.Close)
	d.URL = server.URL
	return d
}

// Refuse answers the next calls with these faults, in this order.
func (d *Door) Refuse(faults ...Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = append(d.faults, faults...)
}

// CutBodies ends every body that it sends after n bytes; 0 stops that.
func (d *Door) CutBodies(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cut = n
}

// LieAboutChecksums makes it send wrong ones with objects.
func (d *Door) LieAboutChecksums() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lie = true
}

// Calls lists what was asked so far, `METHOD path`.
func (d *Door) Calls() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.calls)
}

// Put stores an object, and its bucket, past the API.
func (d *Door) Put(bucket, key string, data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.buckets[bucket] == nil {
		d.buckets[bucket] = map[string]*Object{}
	}
	d.store(bucket, key, &Object{Data: data})
}

// Get finds an object past the API; nil when there is none.
func (d *Door) Get(bucket, key string) *Object {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.buckets[bucket][key]
}

// Keys lists a bucket past the API.
func (d *Door) Keys(bucket string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.buckets[bucket]))
}

func (d *Door) store(bucket, key string, o *Object) {
	d.next++
	o.Version = fmt.Sprintf("%016x", d.next)
	d.buckets[bucket][key] = o
}

func (d *Door) serve(w http.ResponseWriter, r *http.Request) {
	// The raw path: http's cleaned one would not tell `a//b` from `a/b`.
	raw := strings.TrimPrefix(r.URL.EscapedPath(), "/v1/")
	d.mu.Lock()
	d.calls = append(d.calls, r.Method+" "+raw)
	var fault *Fault
	if len(d.faults) > 0 {
		fault, d.faults = &d.faults[0], d.faults[1:]
	}
	d.mu.Unlock()
	switch {
	case r.Header.Get("Authorization") != "Bearer "+Token:
		refuse(w, Fault{Status: http.StatusUnauthorized, Reason: "UNAUTHENTICATED"})
		return
	case fault != nil:
		refuse(w, *fault)
		return
	}
	parts := strings.SplitN(raw, "/", 4)
	for i := range parts {
		parts[i], _ = url.PathUnescape(parts[i])
	}
	switch {
	case raw == "buckets":
		d.listBuckets(w)
	case raw == "cluster":
		answer(w, cluster())
	case len(parts) == 2:
		d.bucket(w, r, parts[1])
	case len(parts) == 3:
		d.list(w, r.URL.Query(), parts[1])
	default:
		d.object(w, r, parts[1], parts[3])
	}
}

func cluster() any {
	disk := map[string]any{"id": "0b9c6d3e-1", "state": "ok", "capacityBytes": "1099511627776", "freeBytes": "549755813888", "chunks": "7"}
	node := map[string]any{"name": "node-1", "rack": "z1-r1", "state": "up", "disks": []any{disk}}
	away := map[string]any{"name": "node-2", "rack": "z1-r2", "state": "down"}
	return map[string]any{
		"clusterId": "c1", "version": "v1", "defaultScheme": "rs-5-4", "writeScheme": "rs-4-4", "floor": "one zone and one disk",
		"zones":   []any{map[string]any{"name": "z1", "nodes": []any{node, away}}},
		"volumes": map[string]any{"open": "2", "sealed": "5"},
	}
}

func (d *Door) listBuckets(w http.ResponseWriter) {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := []any{}
	for _, name := range slices.Sorted(maps.Keys(d.buckets)) {
		list = append(list, bucketJSON(name))
	}
	answer(w, map[string]any{"buckets": list})
}

func bucketJSON(name string) any {
	return map[string]any{"name": name, "scheme": "rs-5-4", "createTime": "2026-01-02T03:04:05Z"}
}

func (d *Door) bucket(w http.ResponseWriter, r *http.Request, name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	objects, exists := d.buckets[name]
	switch {
	case r.Method == http.MethodPut && exists && r.ContentLength > 0 && strings.Contains(readAll(r), `"rs-4-2"`):
		refuse(w, Fault{Status: http.StatusConflict, Reason: "BUCKET_ALREADY_EXISTS"})
	case r.Method == http.MethodPut:
		if !exists {
			d.buckets[name] = map[string]*Object{}
		}
		answer(w, map[string]any{"bucket": bucketJSON(name)})
	case r.Method == http.MethodDelete && len(objects) > 0:
		refuse(w, Fault{Status: http.StatusConflict, Reason: "BUCKET_NOT_EMPTY"})
	case r.Method == http.MethodDelete:
		delete(d.buckets, name)
		w.WriteHeader(http.StatusNoContent)
	case !exists:
		refuse(w, Fault{Status: http.StatusNotFound, Reason: "NO_SUCH_BUCKET"})
	default:
		answer(w, map[string]any{"bucket": bucketJSON(name)})
	}
}

// readAll reads a body that was sent whole.
func readAll(r *http.Request) string {
	raw, _ := io.ReadAll(r.Body)
	return string(raw)
}

func (d *Door) list(w http.ResponseWriter, q url.Values, bucket string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.buckets[bucket] == nil {
		refuse(w, Fault{Status: http.StatusNotFound, Reason: "NO_SUCH_BUCKET"})
		return
	}
	prefix, delimiter, after := q.Get("prefix"), q.Get("delimiter"), q.Get("pageToken")
	objects, prefixes, token, last := []any{}, []string{}, "", ""
	for _, key := range slices.Sorted(maps.Keys(d.buckets[bucket])) {
		item := key
		if rest, ok := strings.CutPrefix(key, prefix); !ok {
			continue
		} else if head, _, rolled := strings.Cut(rest, delimiter); rolled && delimiter != "" {
			item = prefix + head + delimiter
		}
		if item <= after && after != "" || item == last {
			continue
		}
		if len(objects)+len(prefixes) == PageSize {
			token = last
			break
		}
		last = item
		if item != key {
			prefixes = append(prefixes, item)
		} else {
			objects = append(objects, objectJSON(key, d.buckets[bucket][key]))
		}
	}
	answer(w, map[string]any{"objects": objects, "prefixes": prefixes, "nextPageToken": token})
}

func objectJSON(key string, o *Object) map[string]any {
	return map[string]any{
		"key": key, "size": strconv.Itoa(len(o.Data)), "etag": etag(o), "versionId": o.Version,
		"lastModified": "2026-01-02T03:04:05Z", "contentType": o.ContentType, "metadata": o.Meta,
		"checksumCrc64nvme": sum(o.Data),
	}
}

func (d *Door) object(w http.ResponseWriter, r *http.Request, bucket, key string) {
	if r.Method == http.MethodPut {
		d.put(w, r, bucket, key)
		return
	}
	d.mu.Lock()
	objects, exists := d.buckets[bucket]
	o := objects[key]
	if r.Method == http.MethodDelete {
		delete(objects, key)
	}
	cut, lie := d.cut, d.lie
	d.mu.Unlock()
	switch {
	case !exists:
		refuse(w, Fault{Status: http.StatusNotFound, Reason: "NO_SUCH_BUCKET"})
	case r.Method == http.MethodDelete:
		w.WriteHeader(http.StatusNoContent)
	case o == nil:
		refuse(w, Fault{Status: http.StatusNotFound, Reason: "NO_SUCH_KEY"})
	case r.Header.Get("If-Match") != "" && r.Header.Get("If-Match") != etag(o):
		refuse(w, Fault{Status: http.StatusPreconditionFailed, Reason: "PRECONDITION_FAILED"})
	default:
		send(w, r, o, cut, lie)
	}
}

func (d *Door) put(w http.ResponseWriter, r *http.Request, bucket, key string) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		refuse(w, Fault{Status: http.StatusBadRequest, Reason: "INCOMPLETE_BODY"})
		return
	}
	want := r.Header.Get(checksumHeader)
	if want == "" {
		want = r.Trailer.Get(checksumHeader)
	}
	if want != sum(data) {
		refuse(w, Fault{Status: http.StatusBadRequest, Reason: "BAD_CHECKSUM"})
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.buckets[bucket] == nil {
		refuse(w, Fault{Status: http.StatusNotFound, Reason: "NO_SUCH_BUCKET"})
		return
	}
	o := &Object{Data: data, ContentType: r.Header.Get("Content-Type"), Meta: map[string]string{}}
	for name, values := range r.Header {
		if rest, ok := strings.CutPrefix(name, metaPrefix); ok {
			o.Meta[strings.ToLower(rest)] = values[0]
		}
	}
	d.store(bucket, key, o)
	answer(w, objectJSON(key, o))
}

func send(w http.ResponseWriter, r *http.Request, o *Object, cut int, lie bool) {
	data := o.Data
	if rng, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok {
		first, last, _ := strings.Cut(rng, "-")
		from, _ := strconv.Atoi(first)
		to := len(o.Data) - 1
		if last != "" {
			to, _ = strconv.Atoi(last)
		}
		data = data[from : to+1]
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, len(o.Data)))
	}
	h := w.Header()
	h.Set("ETag", etag(o))
	h.Set(versionHeader, o.Version)
	h.Set("Content-Type", o.ContentType)
	h.Set("Content-Length", strconv.Itoa(len(data)))
	h.Set("Last-Modified", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Format(http.TimeFormat))
	h.Set(checksumHeader, sum(o.Data))
	if lie {
		h.Set(checksumHeader, sum(append([]byte("x"), o.Data...)))
	}
	for name, value := range o.Meta {
		h.Set(metaPrefix+name, value)
	}
	if h.Get("Content-Range") != "" {
		w.WriteHeader(http.StatusPartialContent)
	}
	if r.Method == http.MethodHead {
		return
	}
	if cut > 0 && cut < len(data) {
		_, _ = w.Write(data[:cut])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(data)
}

func etag(o *Object) string { return fmt.Sprintf(`"%016x%s-0"`, crc64nvme.Checksum(o.Data), o.Version) }

func sum(data []byte) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, crc64nvme.Checksum(data)))
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, f Fault) {
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(f.RetryAfter))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(f.Status)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"code": 9, "message": "no: " + f.Reason, "details": []any{map[string]any{
			"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": f.Reason, "domain": "drystone",
		}},
	})
}
