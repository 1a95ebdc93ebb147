package frontdoor

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

// dial opens a connection for requests that no http.Client would send.
func (w *world) dial(t testing.TB) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", w.rest)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// head completes a request's head: head ends behind its last own header.
func rawHead(head string) string {
	return head + "Host: test\r\nAuthorization: Bearer " + testToken + "\r\n\r\n"
}

// raw sends a request as it is spelled and reads the answer.
func (w *world) raw(t testing.TB, head, body string) answer {
	t.Helper()
	conn := w.dial(t)
	defer conn.Close()
	if _, err := io.WriteString(conn, rawHead(head)+body); err != nil {
		t.Fatal(err)
	}
	return readAnswer(t, conn)
}

func readAnswer(t testing.TB, conn net.Conn) answer {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	a.explain()
	return a
}

// Whatever way a body ends too early, nothing is stored; who still listens gets to know.
func TestBodiesThatBreakOff(t *testing.T) {
	large := strings.Repeat("x", 600<<10)
	for _, tc := range []struct {
		name, head, body string
		reason           string // empty: nobody is there to hear it
		hangUp           bool
	}{
		{"small, half closed", "PUT /v1/buckets/bbb/objects/k HTTP/1.1\r\nContent-Length: 100\r\n", "short", "INCOMPLETE_BODY", false},
		{"large, half closed", "PUT /v1/buckets/bbb/objects/k HTTP/1.1\r\nContent-Length: 6000000\r\n", large, "INCOMPLETE_BODY", false},
		{"chunked, half closed", "PUT /v1/buckets/bbb/objects/k HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", "5\r\nabcde\r\n", "INCOMPLETE_BODY", false},
		{"chunked, in a chunk", "PUT /v1/buckets/bbb/objects/k HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", "50\r\nabcde", "INCOMPLETE_BODY", false},
		{"chunked, large", "PUT /v1/buckets/bbb/objects/k HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", "96000\r\n" + large + "\r\n", "INCOMPLETE_BODY", false},
		{"chunked, before the trailer", "PUT /v1/buckets/bbb/objects/k HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", "5\r\nabcde\r\n0\r\n", "INVALID_ARGUMENT", false},
		{"chunked, malformed", "PUT /v1/buckets/bbb/objects/k HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", "xyz\r\nabcde\r\n0\r\n\r\n", "INVALID_ARGUMENT", false},
		{"small, gone", "PUT /v1/buckets/bbb/objects/k HTTP/1.1\r\nContent-Length: 100\r\n", "short", "", true},
		{"large, gone", "PUT /v1/buckets/bbb/objects/k HTTP/1.1\r\nContent-Length: 6000000\r\n", large, "", true},
		{"chunked, gone", "PUT /v1/buckets/bbb/objects/k HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", "5\r\nabcde\r\n", "", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, worldOptions{})
			w.bucket(t, "bbb")
			conn := w.dial(t)
			if _, err := io.WriteString(conn, rawHead(tc.head)+tc.body); err != nil {
				t.Fatal(err)
			}
			if tc.hangUp {
				_ = conn.Close()
			} else {
				if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
					t.Fatal(err)
				}
				if a := readAnswer(t, conn); a.status != http.StatusBadRequest || a.reason != tc.reason {
					t.Errorf("%d %q: %s", a.status, a.reason, a.body)
				}
			}
			w.settle(t, "PutObject")
			if n := w.names.Objects(); n != 0 || w.names.Commits() != 0 || w.volumes.Streams() != 0 {
				t.Errorf("%d objects, %d commits, %d open streams", n, w.names.Commits(), w.volumes.Streams())
			}
		})
	}
}

// settle waits until the log has a line of an operation: the request is over then.
func (w *world) settle(t testing.TB, op string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !strings.Contains(w.logs.String(), `"op":"`+op+`"`) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s came to its end", op)
		}
		runtime.Gosched()
	}
}

// Who waits for a "100 Continue" before it sends its body is refused without one.
func TestRefusalBeforeTheBody(t *testing.T) {
	w := crowded(t)
	const expect = "Expect: 100-continue\r\nContent-Length: 6000000\r\nHost: test\r\n"
	token := "Authorization: Bearer " + testToken + "\r\n"
	for _, tc := range []struct {
		name, head string
		status     int
	}{
		{"no token", "PUT /v1/buckets/full/objects/k HTTP/1.1\r\n" + expect, 401},
		{"wrong token", "PUT /v1/buckets/full/objects/k HTTP/1.1\r\nAuthorization: Bearer wrong\r\n" + expect, 401},
		{"no bucket", "PUT /v1/buckets/missing/objects/k HTTP/1.1\r\n" + token + expect, 404},
		{"another's bucket", "PUT /v1/buckets/theirs/objects/k HTTP/1.1\r\n" + token + expect, 403},
		{"precondition", "PUT /v1/buckets/full/objects/key HTTP/1.1\r\nIf-None-Match: *\r\n" + token + expect, 412},
		{"no route", "PUT /v1/nothing HTTP/1.1\r\n" + token + expect, 404},
		{"too large", "PUT /v1/buckets/full/objects/k HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5497558138881\r\nHost: test\r\n" + token, 413},
		{"metadata", "PUT /v1/buckets/full/objects/k HTTP/1.1\r\nDrystone-Meta-A: " + strings.Repeat("v", 2048) + "\r\n" + token + expect, 400},
	} {
		t.Run(tc.name, func(t *testing.T) {
			conn := w.dial(t)
			if _, err := io.WriteString(conn, tc.head+"\r\n"); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil || !strings.HasPrefix(line, fmt.Sprintf("HTTP/1.1 %d ", tc.status)) {
				t.Fatalf("%q, %v", line, err)
			}
		})
	}
	t.Run("accepted", func(t *testing.T) {
		conn := w.dial(t)
		head := "PUT /v1/buckets/full/objects/k HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n"
		if _, err := io.WriteString(conn, rawHead(head)); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(conn)
		if line, err := r.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatalf("%q, %v", line, err)
		}
		if _, err := r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "abc"); err != nil {
			t.Fatal(err)
		}
		if line, err := r.ReadString('\n'); err != nil || line != "HTTP/1.1 200 OK\r\n" {
			t.Fatalf("%q, %v", line, err)
		}
	})
}

// Checksums may come behind the body, announced or, for the one that is always computed, not.
func TestTrailers(t *testing.T) {
	sum := sha256.Sum256([]byte("hello"))
	sha := base64.StdEncoding.EncodeToString(sum[:])
	crc := crc64([]byte("hello"))
	w := newWorld(t, worldOptions{})
	w.bucket(t, "bbb")
	for _, tc := range []struct {
		name, announced, trailer string
		status                   int
		reason                   string
	}{
		{"none", "", "", 200, ""},
		{"CRC64-NVME", "Drystone-Checksum-Crc64nvme", "Drystone-Checksum-Crc64nvme: " + crc, 200, ""},
		{"CRC64-NVME, not announced", "", "Drystone-Checksum-Crc64nvme: " + crc, 200, ""},
		{"CRC64-NVME, wrong", "Drystone-Checksum-Crc64nvme", "Drystone-Checksum-Crc64nvme: AAAAAAAAAAA=", 400, "BAD_CHECKSUM"},
		{"SHA-256 as S3's SDKs send it", "x-amz-checksum-sha256", "x-amz-checksum-sha256: " + sha, 200, ""},
		{"SHA-256, wrong", "x-amz-checksum-sha256", "x-amz-checksum-sha256: " + base64.StdEncoding.EncodeToString(make([]byte, 32)), 400, "BAD_CHECKSUM"},
		{"SHA-256, not announced", "", "x-amz-checksum-sha256: " + sha, 400, "INVALID_ARGUMENT"},
		{"Content-Digest", "Content-Digest", "Content-Digest: sha-256=:" + sha + ":", 200, ""},
		{"announced, not sent", "x-amz-checksum-sha256", "", 400, "INVALID_ARGUMENT"},
		{"rubbish", "Content-Digest", "Content-Digest: rubbish", 400, "INVALID_ARGUMENT"},
		{"what is no checksum", "X-Whatever", "X-Whatever: 1", 200, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			head := "PUT /v1/buckets/bbb/objects/k HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
			if tc.announced != "" {
				head += "Trailer: " + tc.announced + "\r\n"
			}
			body := "5\r\nhello\r\n0\r\n"
			if tc.trailer != "" {
				body += tc.trailer + "\r\n"
			}
			a := w.raw(t, head, body+"\r\n")
			if a.status != tc.status || a.reason != tc.reason {
				t.Fatalf("%d %q: %s", a.status, a.reason, a.body)
			}
		})
	}
}

// What is not HTTP, or could be read in two ways, is refused, and its connection ends.
func TestMalformedRequests(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.bucket(t, "bbb")
	token := "Host: test\r\nAuthorization: Bearer " + testToken + "\r\n"
	for name, request := range map[string]string{
		"two lengths":            "PUT /v1/buckets/bbb/objects/k HTTP/1.1\r\n" + token + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"negative length":        "PUT /v1/buckets/bbb/objects/k HTTP/1.1\r\n" + token + "Content-Length: -1\r\n\r\n",
		"length of rubbish":      "PUT /v1/buckets/bbb/objects/k HTTP/1.1\r\n" + token + "Content-Length: 1x\r\n\r\na",
		"length with a sign":     "PUT /v1/buckets/bbb/objects/k HTTP/1.1\r\n" + token + "Content-Length: +1\r\n\r\na",
		"unknown coding":         "PUT /v1/buckets/bbb/objects/k HTTP/1.1\r\n" + token + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"two codings":            "PUT /v1/buckets/bbb/objects/k HTTP/1.1\r\n" + token + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"no host":                "GET /v1/buckets HTTP/1.1\r\nAuthorization: Bearer " + testToken + "\r\n\r\n",
		"two hosts":              "GET /v1/buckets HTTP/1.1\r\nHost: a\r\n" + token + "\r\n",
		"space before the colon": "GET /v1/buckets HTTP/1.1\r\n" + token + "X-A : b\r\n\r\n",
		"NUL in a header":        "GET /v1/buckets HTTP/1.1\r\n" + token + "X-A: b\x00c\r\n\r\n",
		"endless headers":        "GET /v1/buckets HTTP/1.1\r\n" + token + "X-A: " + strings.Repeat("b", 64<<10) + "\r\n\r\n",
		"endless path":           "GET /" + strings.Repeat("a", 64<<10) + " HTTP/1.1\r\n" + token + "\r\n",
		"broken escape":          "GET /v1/buckets/bbb/objects/%zz HTTP/1.1\r\n" + token + "\r\n",
		"no HTTP":                "hello\r\n\r\n",
		"another version":        "GET /v1/buckets HTTP/3.0\r\n" + token + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn := w.dial(t)
			go func() { _, _ = io.WriteString(conn, request) }() // The other side may end it before the end.
			all, err := io.ReadAll(conn)
			if err != nil && len(all) == 0 {
				t.Fatal(err)
			}
			var version, status int
			if _, err := fmt.Sscanf(string(all), "HTTP/1.%d %d", &version, &status); err != nil || status < 400 || status == 500 || status > 505 {
				t.Fatalf("%q", all)
			}
			if n := strings.Count(string(all), "HTTP/1."); n != 1 {
				t.Fatalf("%d answers: %q", n, all)
			}
		})
	}
	if n := w.names.Objects(); n != 0 {
		t.Fatalf("%d objects", n)
	}
}
