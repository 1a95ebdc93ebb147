// Package outage kills processes of a running mesh and holds it to what it promises about outages.
package outage

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/drystone-store/drystone/services/tests/mesh"
	"github.com/drystone-store/drystone/services/tests/meshtest"
)

const (
	// writesResume is how soon writes must go on after a node or a zone died.
	writesResume = 5 * time.Second
	// requestTimeout bounds one request; a degraded read of 40 MiB on a busy machine takes seconds.
	requestTimeout = 60 * time.Second
)

// store is a running mesh with a bucket and objects that were acknowledged before anything died.
type store struct {
	*mesh.Mesh
	objects map[string][]byte
}

func TestOutages(t *testing.T) {
	s := start(t)
	rng := rand.New(rand.NewPCG(1, 2))
	t.Run("a zone dies under writes", func(t *testing.T) {
		s.while(t, s.zone(t, 3), func() { s.writeSoon(t, "zone") })
	})
	t.Run("any four chunk-servers dead", func(t *testing.T) {
		for range 3 {
			nodes := s.Names("chunkserver")
			rng.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
			s.while(t, nodes[:4], func() { s.readAll(t) })
		}
	})
	t.Run("a zone and one more dead", func(t *testing.T) {
		zone := s.zone(t, 2)
		other := slices.DeleteFunc(s.Names("chunkserver"), func(n string) bool { return slices.Contains(zone, n) })
		s.while(t, append(zone, other[0]), func() { s.readAll(t) })
	})
	t.Run("a node dies under writes", func(t *testing.T) {
		s.while(t, s.Names("chunkserver")[:1], func() { s.writeSoon(t, "node") })
	})
	t.Run("too few nodes to keep the floor", func(t *testing.T) {
		a, b := s.zone(t, 1), s.zone(t, 2)
		s.while(t, slices.Concat(a[1:], b[1:], s.zone(t, 3)), func() { s.refuse(t) })
		s.writeSoon(t, "back")
		s.readAll(t)
	})
	t.Run("one of each other service dead", func(t *testing.T) {
		s.while(t, []string{s.Names("metadata")[0], s.Names("placement")[0], s.Names("frontdoor")[1], s.Names("etcd")[0]}, func() {
			s.writeSoon(t, "services")
			s.readAll(t)
		})
	})
}

// start brings up the mesh of `make mesh` and stores objects of every kind.
func start(t *testing.T) *store {
	t.Helper()
	m := meshtest.Start(t, mesh.Options{Scheme: "rs-5-4"})
	s := &store{Mesh: m, objects: map[string][]byte{}}
	meshtest.MustDo(t, m, http.MethodPut, "/v1/buckets/outage", nil, nil, http.StatusOK)
	for _, size := range []int{0, 1, 4 << 10, 64<<10 + 1, 256 << 10, 256<<10 + 1, 5<<20 - 1, 5 << 20, 5<<20 + 1, 23 << 20} {
		s.put(t, fmt.Sprintf("before/%d", size), size)
	}
	return s
}

// while kills processes, calls f, and starts them again.
func (s *store) while(t *testing.T, names []string, f func()) {
	t.Helper()
	for _, name := range names {
		if err := s.Kill(t.Context(), name, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	defer func() {
		for _, name := range names {
			if err := s.StartProcess(t.Context(), name); err != nil {
				t.Fatalf("%v\n%s", err, meshtest.Tail(s.LogPath(name)))
			}
		}
		if err := s.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
	}()
	f()
}

// zone lists the chunk-servers of the n-th zone, counted from 1.
func (s *store) zone(t *testing.T, n int) []string {
	t.Helper()
	zones := map[string][]string{}
	for _, name := range s.Names("chunkserver") {
		p, err := s.Process(name)
		if err != nil {
			t.Fatal(err)
		}
		zones[p.Zone] = append(zones[p.Zone], name)
	}
	names := zones[slices.Sorted(maps.Keys(zones))[n-1]]
	if len(zones) != 3 || len(names) != 3 {
		t.Fatalf("the zones are %v, want three of three chunk-servers", zones)
	}
	return names
}

// put stores incompressible bytes and remembers them once they are acknowledged.
func (s *store) put(t *testing.T, key string, size int) {
	t.Helper()
	body := random(size)
	if status, text := s.do(t, http.MethodPut, "/v1/buckets/outage/objects/"+key, body, nil); status != http.StatusOK {
		t.Fatalf("PUT %s: %d %s", key, status, text)
	}
	s.objects[key] = body
}

// readAll reads every object and ranges at the edges that matter.
func (s *store) readAll(t *testing.T) {
	t.Helper()
	for key, want := range s.objects {
		status, got := s.do(t, http.MethodGet, "/v1/buckets/outage/objects/"+key, nil, nil)
		if status != http.StatusOK || !bytes.Equal(got, want) {
			t.Errorf("GET %s: status %d, %d bytes, want %d: %.300s", key, status, len(got), len(want), reason(status, got))
			continue
		}
		for _, from := range []int{0, 1, 1<<20 - 1, 1 << 20, 5<<20 - 1, len(want) - 1} {
			to := min(from+70_000, len(want)-1)
			if from < 0 || from > to {
				continue
			}
			rng := http.Header{"Range": {fmt.Sprintf("bytes=%d-%d", from, to)}}
			status, got := s.do(t, http.MethodGet, "/v1/buckets/outage/objects/"+key, nil, rng)
			if status != http.StatusPartialContent || !bytes.Equal(got, want[from:to+1]) {
				t.Errorf("GET %s %s: status %d, %d bytes, not what was stored", key, rng.Get("Range"), status, len(got))
			}
		}
	}
}

// reason is an error's text, or nothing for the bytes of an object.
func reason(status int, body []byte) []byte {
	if status < http.StatusBadRequest {
		return nil
	}
	return body
}

// writeSoon demands a small and a large write within the promised time.
func (s *store) writeSoon(t *testing.T, name string) {
	t.Helper()
	for _, size := range []int{4 << 10, 7 << 20} {
		key, body := fmt.Sprintf("during/%s/%d", name, size), random(size)
		begin := time.Now()
		for {
			status, text := s.do(t, http.MethodPut, "/v1/buckets/outage/objects/"+key, body, nil)
			if status == http.StatusOK {
				s.objects[key] = body
				t.Logf("a write of %d bytes went through after %v", size, time.Since(begin).Round(time.Millisecond))
				break
			}
			if time.Since(begin) > writesResume {
				t.Fatalf("writes did not go on within %v: %d %s", writesResume, status, text)
			}
		}
		if time.Since(begin) > writesResume {
			t.Errorf("a write of %d bytes took %v, want at most %v", size, time.Since(begin), writesResume)
		}
	}
}

// refuse demands 503 with Retry-After, and that no name is left.
func (s *store) refuse(t *testing.T) {
	t.Helper()
	const path = "/v1/buckets/outage/objects/refused"
	deadline := time.Now().Add(2 * writesResume)
	for {
		resp := s.send(t, http.MethodPut, path, random(4<<10), nil)
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusServiceUnavailable {
			if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || seconds < 1 {
				t.Errorf("503 with Retry-After %q, want seconds", resp.Header.Get("Retry-After"))
			}
			break
		}
		if resp.StatusCode == http.StatusOK {
			t.Fatal("a write was acknowledged although no scheme keeps the floor")
		}
		if time.Now().After(deadline) {
			t.Fatalf("PUT: status %d %s, want 503", resp.StatusCode, text)
		}
	}
	if status, _ := s.do(t, http.MethodGet, path, nil, nil); status != http.StatusNotFound {
		t.Errorf("a refused write left a name: GET says %d", status)
	}
}

func (s *store) do(t *testing.T, method, path string, body []byte, header http.Header) (int, []byte) {
	t.Helper()
	status, got, err := meshtest.Do(t.Context(), s.Mesh, method, path, body, header)
	if err != nil {
		t.Logf("%s %s: %v", method, path, err)
		return 0, got
	}
	return status, got
}

func (s *store) send(t *testing.T, method, path string, body []byte, header http.Header) *http.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), requestTimeout)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.Addr(s.Names("frontdoor")[0])+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("Authorization", "Bearer "+s.Token())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func random(size int) []byte {
	b := make([]byte, size)
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rand.Uint32())
	}
	_, _ = rand.NewChaCha8(seed).Read(b)
	return b
}
