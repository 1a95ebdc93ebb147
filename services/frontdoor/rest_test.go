package frontdoor

import (
	"bytes"
	"net/http"
	"testing"
)

func TestSmoke(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.bucket(t, "photos")
	want := bytes.Repeat([]byte("drystone"), 100_000)
	w.put(t, "photos", "a/b c", want)
	got := w.call(t, "GET", objectURL("photos", "a/b c"), nil)
	if got.status != http.StatusOK || !bytes.Equal(got.body, want) {
		t.Fatalf("%d %d bytes, %v", got.status, len(got.body), got.header)
	}
	list := w.call(t, "GET", "/v1/buckets/photos/objects?prefix=a", nil)
	t.Logf("%d %s", list.status, list.body)
	t.Log(w.logs)
}
