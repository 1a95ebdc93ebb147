package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/drystone-store/drystone/services/drystone/internal/fakedoor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect starts a fake and a client of it whose pauses are only counted.
func connect(t *testing.T) (*Client, *fakedoor.Door, *[]time.Duration) {
	t.Helper()
	door := fakedoor.Start(t)
	c, err := New(door.URL, fakedoor.Token)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	var pauses []time.Duration
	c.pause = func(ctx context.Context, d time.Duration) error {
		pauses = append(pauses, d)
		return ctx.Err()
	}
	return c, door, &pauses
}

// pattern is data in which no two places look alike.
func pattern(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return data
}

func TestKeysSurviveExactly(t *testing.T) {
	c, door, _ := connect(t)
	keys := []string{
		"plain.txt", "a/b/c", "..", ".", "../../etc/passwd", "a//b", "/leading", "trailing/", "a/./b", "a/../b", "%2F", "%252F", "a%2Fb",
		"white space", "ünïcödé/日本", "q?x=1&y#z", "+", `back\slash`, "a;b=c", "*", strings.Repeat("k", 1024),
	}
	if _, err := c.CreateBucket(t.Context(), "box", ""); err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		body := "bytes of " + key
		up := Upload{Bucket: "box", Key: key, Body: strings.NewReader(body), Size: int64(len(body))}
		if _, err := c.Put(t.Context(), up); err != nil {
			t.Fatalf("put %q: %v", key, err)
		}
		var got bytes.Buffer
		if _, err := c.Get(t.Context(), Download{Bucket: "box", Key: key}, &got); err != nil {
			t.Fatalf("get %q: %v", key, err)
		}
		if got.String() != body {
			t.Errorf("get %q: %q", key, got.String())
		}
	}
	slices.Sort(keys)
	if diff := cmp.Diff(keys, door.Keys("box")); diff != "" {
		t.Errorf("stored keys (-want +got):\n%s", diff)
	}
}

func TestEscapeSegmentIsUndoneByOneUnescape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.String().Draw(t, "key")
		escaped := escapeSegment(key)
		back, err := url.PathUnescape(escaped)
		if err != nil || back != key {
			t.Fatalf("%q became %q became %q (%v)", key, escaped, back, err)
		}
		if strings.Contains(escaped, "//") || slices.Contains(strings.Split(escaped, "/"), "..") {
			t.Fatalf("%q became %q, which a proxy may clean", key, escaped)
		}
	})
}

func TestPut(t *testing.T) {
	big := pattern(3<<20 + 17)
	pipe := func(data []byte) io.Reader { return io.MultiReader(bytes.NewReader(data)) } // cannot be sought

	for _, c := range []struct {
		name   string
		body   io.Reader
		size   int64
		faults []fakedoor.Fault
		want   []byte // stored; nil: nothing
		calls  int
		err    string
	}{
		{name: "empty", body: bytes.NewReader(nil), want: []byte{}, calls: 1},
		{name: "small", body: strings.NewReader("hello"), size: 5, want: []byte("hello"), calls: 1},
		{name: "large", body: bytes.NewReader(big), size: int64(len(big)), want: big, calls: 1},
		{name: "of unknown size", body: pipe(big), size: -1, want: big, calls: 1},
		{name: "empty of unknown size", body: pipe(nil), size: -1, want: []byte{}, calls: 1},
		{name: "small, shorter than it said", body: strings.NewReader("hell"), size: 5, err: "changed while it was read"},
		{name: "small, longer than it said", body: strings.NewReader("hello!"), size: 5, err: "changed while it was read"},
		{name: "large, shorter than it said", body: bytes.NewReader(big), size: int64(len(big)) + 1, calls: 1, err: "changed while it was read"},
		{name: "large, longer than it said", body: bytes.NewReader(big), size: int64(len(big)) - 1, calls: 1, err: "changed while it was read"},
		{
			name: "small, overloaded twice", body: strings.NewReader("hello"), size: 5, want: []byte("hello"), calls: 3,
			faults: []fakedoor.Fault{{Status: 429, Reason: "OVERLOADED", RetryAfter: 1}, {Status: 503, Reason: "UNAVAILABLE"}},
		},
		{
			name: "large, overloaded once", body: bytes.NewReader(big), size: int64(len(big)), want: big, calls: 2,
			faults: []fakedoor.Fault{{Status: 503, Reason: "NOT_ENOUGH_DISKS", RetryAfter: 1}},
		},
		{
			name: "refused for good", body: strings.NewReader("hello"), size: 5, calls: 1, err: "no: ACCESS_DENIED",
			faults: []fakedoor.Fault{{Status: 403, Reason: "ACCESS_DENIED"}},
		},
		{
			name: "overloaded for too long", body: strings.NewReader("hello"), size: 5, calls: maxTries, err: "no: OVERLOADED",
			faults: slices.Repeat([]fakedoor.Fault{{Status: 429, Reason: "OVERLOADED", RetryAfter: 1}}, maxTries),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, door, _ := connect(t)
			door.Put("box", "other", nil)
			door.Refuse(c.faults...)
			resp, err := client.Put(t.Context(), Upload{
				Bucket: "box", Key: "key", ContentType: "text/x", Metadata: map[string]string{"who": "me"}, Body: c.body, Size: c.size,
			})
			if c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) || c.err == "" && err != nil {
				t.Fatalf("err %v, want %q", err, c.err)
			}
			if got := len(door.Calls()); got != c.calls {
				t.Errorf("%d calls, want %d: %q", got, c.calls, door.Calls())
			}
			o := door.Get("box", "key")
			if c.want == nil {
				if o != nil {
					t.Error("it was stored")
				}
				return
			}
			if !bytes.Equal(o.Data, c.want) || resp.GetSize() != int64(len(c.want)) {
				t.Errorf("%d bytes are stored, %d answered, %d sent", len(o.Data), resp.GetSize(), len(c.want))
			}
			if o.ContentType != "text/x" || !maps.Equal(o.Meta, map[string]string{"who": "me"}) {
				t.Errorf("content type %q, metadata %v", o.ContentType, o.Meta)
			}
		})
	}
}

func TestPutOfAFileBeginsAgainWhereItBegan(t *testing.T) {
	client, door, pauses := connect(t)
	door.Put("box", "other", nil)
	door.Refuse(fakedoor.Fault{Status: 503, RetryAfter: 3})
	data := pattern(2 << 20)
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, append([]byte("skipped"), data...), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Seek(int64(len("skipped")), io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Put(t.Context(), Upload{Bucket: "box", Key: "key", Body: f, Size: int64(len(data))}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(door.Get("box", "key").Data, data) {
		t.Error("other bytes are stored")
	}
	if diff := cmp.Diff([]time.Duration{3 * time.Second}, *pauses); diff != "" {
		t.Errorf("pauses (-want +got):\n%s", diff)
	}
}

func TestGet(t *testing.T) {
	data := pattern(1 << 20)
	for _, c := range []struct {
		name  string
		order func(*fakedoor.Door)
		err   string
		calls int
	}{
		{name: "whole", order: func(*fakedoor.Door) {}, calls: 1},
		{name: "cut and resumed", order: func(d *fakedoor.Door) { d.CutBodies(300 << 10) }, calls: 4},
		{name: "wrong checksum", order: func(d *fakedoor.Door) { d.LieAboutChecksums() }, err: "have checksum", calls: 1},
		{
			name:  "unavailable once",
			order: func(d *fakedoor.Door) { d.Refuse(fakedoor.Fault{Status: 503, Reason: "UNAVAILABLE"}) }, calls: 2,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, door, _ := connect(t)
			door.Put("box", "key", data)
			c.order(door)
			var got bytes.Buffer
			o, err := client.Get(t.Context(), Download{Bucket: "box", Key: "key"}, &got)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("err %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), data) || o.GetSize() != int64(len(data)) {
				t.Errorf("got %d bytes of %d, size %d", got.Len(), len(data), o.GetSize())
			}
			if n := len(door.Calls()); n != c.calls {
				t.Errorf("%d calls, want %d", n, c.calls)
			}
		})
	}
}

func TestGetNeverMixesVersions(t *testing.T) {
	client, door, _ := connect(t)
	door.Put("box", "key", pattern(1<<20))
	door.CutBodies(300 << 10)
	var got bytes.Buffer
	_, err := client.Get(t.Context(), Download{Bucket: "box", Key: "key"}, writerFunc(func(p []byte) (int, error) {
		if got.Len() == 0 {
			door.Put("box", "key", make([]byte, 1<<20))
		}
		return got.Write(p)
	}))
	if err == nil || !strings.Contains(err.Error(), "replaced while it was read") {
		t.Errorf("err %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestGetStopsWhenItsWriterFails(t *testing.T) {
	client, door, _ := connect(t)
	door.Put("box", "key", pattern(1<<20))
	full := errors.New("disk full")
	_, err := client.Get(t.Context(), Download{Bucket: "box", Key: "key"}, writerFunc(func([]byte) (int, error) { return 0, full }))
	if !errors.Is(err, full) || len(door.Calls()) != 1 {
		t.Errorf("err %v after %d calls", err, len(door.Calls()))
	}
}

func TestListMergesAndPages(t *testing.T) {
	client, door, _ := connect(t)
	for _, key := range []string{"a", "b/1", "b/2", "c", "d/1", "e", "f/g/h", "g"} {
		door.Put("box", key, nil)
	}
	var got []string
	for e, err := range client.List(t.Context(), "box", ListOptions{Delimiter: "/"}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Prefix+e.Object.GetKey())
	}
	if diff := cmp.Diff([]string{"a", "b/", "c", "d/", "e", "f/", "g"}, got); diff != "" {
		t.Errorf("listing (-want +got):\n%s", diff)
	}
}

func TestStat(t *testing.T) {
	client, door, _ := connect(t)
	door.Put("box", "key", []byte("hello"))
	o, err := client.Stat(t.Context(), "box", "key", "")
	if err != nil {
		t.Fatal(err)
	}
	if o.GetSize() != 5 || o.GetVersionId() == "" || o.GetEtag() == "" || o.GetChecksumCrc64Nvme() == "" ||
		!o.GetLastModified().AsTime().Equal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)) {
		t.Errorf("stat: %v", o)
	}
	if _, err := client.Stat(t.Context(), "box", "none", ""); err == nil || !strings.Contains(err.Error(), "no such object") {
		t.Errorf("stat of what is absent: %v", err)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	closed := fakedoor.Start(t)
	for _, c := range []struct {
		name, endpoint, token, want string
	}{
		{name: "nobody listens", endpoint: "127.0.0.1:1", token: fakedoor.Token, want: "is `drystone up` running?"},
		{name: "wrong token", endpoint: closed.URL, token: "wrong", want: "DRYSTONE_TOKEN"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, err := New(c.endpoint, c.token)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			if _, err := client.Cluster(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("err %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestAnotherServerIsNoFrontDoor(t *testing.T) {
	client, door, _ := connect(t)
	client.http.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("<html>")), Request: r}, nil
	})
	if _, err := client.Cluster(t.Context()); err == nil || !strings.Contains(err.Error(), "is something else at") {
		t.Errorf("err %v (door %s)", err, door.URL)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestParseEndpoint(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"127.0.0.1:8080", "http://127.0.0.1:8080"},
		{"http://host:1/", "http://host:1"},
		{"https://store.example", "https://store.example"},
		{"[::1]:8080", "http://[::1]:8080"},
		{"ftp://host", ""},
		{"http://", ""},
		{"http://host/path", ""},
		{"http://user@host", ""},
		{"host?x", ""},
		{"ho st", ""},
	} {
		u, err := ParseEndpoint(c.in)
		got := ""
		if err == nil {
			got = u.String()
		}
		if got != c.want {
			t.Errorf("%q: %q (%v), want %q", c.in, got, err, c.want)
		}
	}
}
