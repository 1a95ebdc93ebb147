package client

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/drystone-store/drystone/services/drystone/internal/fakedoor"
)

func TestGetRange(t *testing.T) {
	data := pattern(100_000)
	for name, tt := range map[string]struct {
		offset, length int64
		order          func(*fakedoor.Door)
		says           string
	}{
		"the beginning":       {0, 10, func(*fakedoor.Door) {}, ""},
		"the middle":          {50_000, 25_000, func(*fakedoor.Door) {}, ""},
		"the end":             {99_999, 1, func(*fakedoor.Door) {}, ""},
		"after a short pause": {1, 2, func(d *fakedoor.Door) { d.Refuse(fakedoor.Fault{Status: http.StatusServiceUnavailable}) }, ""},
		"cut off":             {0, 1000, func(d *fakedoor.Door) { d.CutBodies(10) }, "unexpected EOF"},
		"refused": {0, 1, func(d *fakedoor.Door) {
			d.Refuse(fakedoor.Fault{Status: http.StatusForbidden, Reason: "ACCESS_DENIED"})
		}, "ACCESS_DENIED"},
	} {
		t.Run(name, func(t *testing.T) {
			c, door, _ := connect(t)
			door.Put("box", "key", data)
			tt.order(door)
			var got bytes.Buffer
			err := c.GetRange(t.Context(), "box", "key", tt.offset, tt.length, &got)
			switch {
			case tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)):
				t.Errorf("got %v", err)
			case tt.says == "" && (err != nil || !bytes.Equal(got.Bytes(), data[tt.offset:tt.offset+tt.length])):
				t.Errorf("%d bytes, %v", got.Len(), err)
			}
		})
	}
}

// A server that answers with all of it, or with another part, is not believed.
func TestGetRangeWantsThatRange(t *testing.T) {
	for name, answer := range map[string]http.Response{
		"everything":   {StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody},
		"another part": {StatusCode: http.StatusPartialContent, Header: http.Header{"Content-Range": {"bytes 1-2/9"}}, Body: http.NoBody},
	} {
		c, _, _ := connect(t)
		c.http.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			answer.Request = r
			return &answer, nil
		})
		if err := c.GetRange(t.Context(), "box", "key", 0, 2, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "to a request for bytes 0-1/") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
