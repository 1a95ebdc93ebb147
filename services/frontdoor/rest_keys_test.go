package frontdoor

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// uglyKeys must survive exactly, each as an object of its own.
var uglyKeys = []string{
	"plain", "a/b/c", "/leading", "trailing/", "/", "//", "a//b", "a///b", "//a//", ".", "..", "../..", "a/../b", "a/./b",
	"./a", "a/..", "a b", " a", "a ", "+", "a+b", "%", "%2F", "a%2Fb", "%252F", "%00", "100%", "%zz", "?", "a?b=c", "#", "a#b",
	"&", "a=b&c=d", ";", ":", "a:b", "@", "*", "**", "{key}", "{key=**}", "\\", "a\\b", "\"", "'", "<>", "|", "^", "`", "~",
	"\n", "a\r\nb", "\t", "\x01", "\x7f", "ä", "a\u0308", "ä/ö", "日本語", "🪨", "\u202e", "\u2028", "\ufeff", "é", "e\u0301",
	"objects/", "objects/x", "/v1/buckets/keys/objects/x", "object s/objects/x", "healthz", "favicon.ico",
	"verb:custom", "a:b/c:d", strings.Repeat("k", 1024), strings.Repeat("/", 1024), strings.Repeat("ä", 512),
	"Ä", "a", "A", "a.", "a..", "CON", "a\u00a0b",
}

func TestUglyKeys(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.bucket(t, "keys")
	for _, key := range uglyKeys {
		put := w.put(t, "keys", key, []byte("of "+key))
		var answered struct{ Key string }
		if decode(t, put.body, &answered); answered.Key != key {
			t.Fatalf("%q was stored as %q", key, answered.Key)
		}
	}
	for _, key := range uglyKeys {
		if got := w.call(t, "GET", objectURL("keys", key), nil); got.status != 200 || string(got.body) != "of "+key {
			t.Errorf("GET %q: %d %q", key, got.status, got.body)
		}
		if got := w.call(t, "HEAD", objectURL("keys", key), nil); got.status != 200 || got.header.Get("Content-Length") != fmt.Sprint(len(key)+3) {
			t.Errorf("HEAD %q: %d %v", key, got.status, got.header)
		}
	}
	want := slices.Clone(uglyKeys)
	slices.Sort(want)
	if got := listAll(t, w, "keys", "", 7); !slices.Equal(got, want) {
		t.Errorf("the listing has\n%q, want\n%q", got, want)
	}
	for _, key := range uglyKeys {
		if got := w.call(t, "DELETE", objectURL("keys", key), nil); got.status != 204 {
			t.Errorf("DELETE %q: %d", key, got.status)
		}
	}
	if n := w.names.Objects(); n != 0 {
		t.Errorf("%d objects are left", n)
	}
}

// A path may spell a key in many ways: what is percent-encoded is decoded once, and a slash is a slash.
func TestSpellings(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.bucket(t, "keys")
	for path, key := range map[string]string{
		"a/b": "a/b", "a%2fb": "a/b", "a%2Fb": "a/b", "a%252Fb": "a%2Fb", "a%25252Fb": "a%252Fb", "%61": "a", "a+b": "a+b",
		"a%20b": "a b", "a%2Bb": "a+b", "..": "..", "%2e%2e": "..", "a/../b": "a/../b", "a//b": "a//b", "/a": "/a", "//": "//",
		"a/": "a/", "%2F": "/", "~": "~", "%7E": "~", "(a)": "(a)", "a;b": "a;b", "a=b&c": "a=b&c", "%3F": "?", "%23": "#",
	} {
		a := w.raw(t, "PUT /v1/buckets/keys/objects/"+path+" HTTP/1.1\r\nContent-Length: 1\r\n", "x")
		var answered struct{ Key string }
		if decode(t, a.body, &answered); a.status != http.StatusOK || answered.Key != key {
			t.Errorf("%s: %d, stored as %q, want %q", path, a.status, answered.Key, key)
		}
		if get := w.raw(t, "GET /v1/buckets/keys/objects/"+path+" HTTP/1.1\r\n", ""); get.status != http.StatusOK {
			t.Errorf("%s: PUT and GET see different keys: %d", path, get.status)
		}
	}
}

// listAll collects the keys of all pages.
func listAll(t testing.TB, w *world, bucket, query string, size int) []string {
	t.Helper()
	var keys []string
	for token := ""; ; {
		a := w.call(t, "GET", fmt.Sprintf("/v1/buckets/%s/objects?pageSize=%d&pageToken=%s%s", bucket, size, token, query), nil)
		if a.status != http.StatusOK {
			t.Fatalf("list: %d %s", a.status, a.body)
		}
		var page struct {
			Objects       []struct{ Key string }
			Prefixes      []string
			NextPageToken string
		}
		decode(t, a.body, &page)
		if n := len(page.Objects) + len(page.Prefixes); n > size {
			t.Fatalf("a page of %d entries", n)
		}
		for _, o := range page.Objects {
			keys = append(keys, o.Key)
		}
		keys = append(keys, page.Prefixes...)
		if token = page.NextPageToken; token == "" {
			return keys
		}
	}
}

// FuzzKeyRoundTrip stores an object under any key over HTTP: it comes back under exactly that key, or the key is refused
// for a reason that holds.
func FuzzKeyRoundTrip(f *testing.F) {
	for _, key := range uglyKeys {
		f.Add(key)
	}
	f.Add("\xff")
	f.Add("a\x00b")
	f.Add("")
	w := newWorld(f, worldOptions{})
	w.bucket(f, "keys")
	f.Fuzz(func(t *testing.T, key string) {
		body := []byte("of " + key)
		put := w.call(t, "PUT", objectURL("keys", key), bytes.NewReader(body))
		valid := key != "" && len(key) <= 1024 && utf8.ValidString(key) && !strings.Contains(key, "\x00")
		if !valid {
			if len(key) < 8<<10 && put.status != http.StatusBadRequest {
				t.Fatalf("%q: %d %s", key, put.status, put.body)
			}
			return
		}
		if put.status != http.StatusOK {
			t.Fatalf("%q: %d %s", key, put.status, put.body)
		}
		if get := w.call(t, "GET", objectURL("keys", key), nil); !bytes.Equal(get.body, body) {
			t.Fatalf("%q came back as %d %q", key, get.status, get.body)
		}
		if got := listAll(t, w, "keys", "&prefix="+escape(key), 1000); !slices.Contains(got, key) {
			t.Fatalf("%q is not listed: %q", key, got)
		}
		if a := w.call(t, "DELETE", objectURL("keys", key), nil); a.status != http.StatusNoContent {
			t.Fatalf("%q: %d", key, a.status)
		}
	})
}
