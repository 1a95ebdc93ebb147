package frontdoor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// balancer sends each connection to one of its backends in turn, as kube-proxy does: what is open stays where it is.
type balancer struct {
	listener net.Listener
	mu       sync.Mutex
	backends []string
	next     int
	copying  sync.WaitGroup
}

func balance(t *testing.T, backends ...string) *balancer {
	t.Helper()
	b := &balancer{listener: listen(t), backends: backends}
	b.copying.Go(func() {
		for {
			client, err := b.listener.Accept()
			if err != nil {
				return
			}
			b.copying.Go(func() { b.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = b.listener.Close()
		b.copying.Wait()
	})
	return b
}

func (b *balancer) serve(client net.Conn) {
	defer client.Close()
	b.mu.Lock()
	backend := b.backends[b.next%len(b.backends)]
	b.next++
	b.mu.Unlock()
	server, err := net.Dial("tcp", backend)
	if err != nil {
		return
	}
	defer server.Close()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{server, client}, {client, server}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_ = way[0].(*net.TCPConn).CloseWrite()
		})
	}
	both.Wait()
}

// remove takes a backend out; connections that it has go on.
func (b *balancer) remove(backend string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.backends = slices.DeleteFunc(slices.Clone(b.backends), func(s string) bool { return s == backend })
}

// request makes one request, which nobody repeats: Go's client would, but others would not.
func request(client *http.Client, method, url string, body []byte) (int, []byte, error) {
	var reader io.Reader
	if body != nil {
		reader = io.MultiReader(bytes.NewReader(body)) // so that there is no second body to be had
	}
	req, err := http.NewRequest(method, url, reader)
	if err != nil {
		return 0, nil, err
	}
	req.ContentLength = int64(len(body))
	req.Header.Set("Authorization", "Bearer "+testToken)
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	return resp.StatusCode, got, err
}

// One of two front-doors behind a balancer stops in good order under load, and the balancer notices late: no request
// fails, over connections that are kept as well as over new ones.
func TestStopFailsNoRequest(t *testing.T) {
	const (
		notice    = 700 * time.Millisecond
		noticedIn = 300 * time.Millisecond
		clients   = 8
	)
	one := newWorld(t, worldOptions{notice: notice})
	two := newWorld(t, worldOptions{notice: notice, beside: one})
	if a := one.call(t, "PUT", "/v1/buckets/load", nil); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	front := balance(t, one.rest, two.rest)
	ctx, end := context.WithCancel(t.Context())
	var load sync.WaitGroup
	var requests, failed atomic.Int64
	for n := range clients {
		load.Go(func() {
			transport := &http.Transport{DisableKeepAlives: n%2 == 1}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
			for i := 0; ctx.Err() == nil; i++ {
				body := bytes.Repeat([]byte{byte(i)}, 10_000)
				url := fmt.Sprintf("http://%s/v1/buckets/load/objects/k%d", front.listener.Addr(), n)
				status, answer, err := request(client, http.MethodPut, url, body)
				if err == nil && status == http.StatusOK {
					requests.Add(1)
					status, answer, err = request(client, http.MethodGet, url, nil)
					if err == nil && !bytes.Equal(answer, body) {
						err = errors.New("other bytes")
					}
				}
				if requests.Add(1); err != nil || status != http.StatusOK {
					failed.Add(1)
					t.Errorf("client %d: %d %v %.200s", n, status, err, answer)
				}
				<-time.After(2 * time.Millisecond)
			}
		})
	}
	<-time.After(200 * time.Millisecond)
	stopped := make(chan time.Duration, 1)
	begin := time.Now()
	go func() {
		one.stop()
		stopped <- time.Since(begin)
	}()
	<-time.After(noticedIn)
	if status, answer, err := request(one.client, http.MethodGet, "http://"+one.rest+"/readyz", nil); err != nil || status != http.StatusServiceUnavailable {
		t.Errorf("/readyz of a front-door that stops: %d %s %v", status, answer, err)
	}
	front.remove(one.rest)
	took := <-stopped
	<-time.After(300 * time.Millisecond)
	end()
	load.Wait()
	t.Logf("%d requests, %d failed; the stop took %v", requests.Load(), failed.Load(), took)
	if took > notice+2*time.Second {
		t.Errorf("the stop took %v", took)
	}
}
