package cli

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// asMain makes this test binary run the command itself: tests that start members need no other build.
const asMain = "DRYSTONE_ETCD_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		os.Exit(Main(os.Args[1:], Streams{Out: os.Stdout, Err: os.Stderr}))
	}
	os.Exit(m.Run())
}

// patience is how long something may take that a busy machine does in seconds.
const patience = 60 * time.Second

// world is a cluster of processes with a CA of its own.
type world struct {
	dir     string
	names   []string
	client  map[string]string // URLs by name
	peer    map[string]string
	metrics map[string]string
	planned []string // names in --initial-cluster
	running map[string]*process
}

type process struct {
	cmd   *exec.Cmd
	out   *lockedBuffer
	ended chan struct{}
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// tail is what a failed test shows.
func (b *lockedBuffer) tail() string {
	s := b.String()
	return s[max(0, len(s)-2000):]
}

func newWorld(t *testing.T, names ...string) *world {
	t.Helper()
	w := &world{
		dir: t.TempDir(), names: names, planned: names,
		client: map[string]string{}, peer: map[string]string{}, metrics: map[string]string{}, running: map[string]*process{},
	}
	makeCertificates(t, w.dir)
	for _, name := range names {
		w.client[name], w.peer[name] = "https://"+freeAddress(t), "https://"+freeAddress(t)
		w.metrics[name] = "http://" + freeAddress(t)
	}
	t.Cleanup(func() {
		for name := range w.running {
			w.kill(name)
		}
	})
	return w
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func (w *world) path(parts ...string) string {
	return filepath.Join(append([]string{w.dir}, parts...)...)
}

// volume is where the chart mounts a member's claim, and dataDir is etcd's folder in it.
func (w *world) volume(name string) string { return w.path("data", name) }

func (w *world) dataDir(name string) string { return filepath.Join(w.volume(name), "member") }

func (w *world) through() string {
	var urls []string
	for _, name := range w.names {
		urls = append(urls, w.client[name])
	}
	return strings.Join(urls, ",")
}

func (w *world) initialCluster() string {
	var parts []string
	for _, name := range w.planned {
		parts = append(parts, name+"="+w.peer[name])
	}
	return strings.Join(parts, ",")
}

// etcdFlags are those of the chart.
func (w *world) etcdFlags(name string) []string {
	return []string{
		"--name", name, "--data-dir", w.dataDir(name),
		"--listen-client-urls", w.client[name], "--advertise-client-urls", w.client[name],
		"--listen-metrics-urls", w.metrics[name],
		"--listen-peer-urls", w.peer[name], "--initial-advertise-peer-urls", w.peer[name],
		"--initial-cluster", w.initialCluster(), "--initial-cluster-token", "test",
		"--client-cert-auth", "--trusted-ca-file", w.path("ca.crt"), "--cert-file", w.path("server.crt"), "--key-file", w.path("server.key"),
		"--peer-client-cert-auth", "--peer-trusted-ca-file", w.path("ca.crt"),
		"--peer-cert-file", w.path("server.crt"), "--peer-key-file", w.path("server.key"),
		// The disks of test machines are slow, and nothing here outlives the test.
		"--unsafe-no-fsync", "--heartbeat-interval", "50", "--election-timeout", "500",
	}
}

// start runs a member as the chart does.
func (w *world) start(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		args := []string{
			"member", "--join-through", w.through(), "--cacert", w.path("ca.crt"),
			"--cert", w.path("client.crt"), "--key", w.path("client.key"), "--",
		}
		w.run(t, name, append(args, w.etcdFlags(name)...)...)
	}
}

func (w *world) run(t *testing.T, name string, args ...string) {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0], args...), out: &lockedBuffer{}, ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), asMain+"=1")
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait()
	}()
	w.running[name] = p
}

func (w *world) kill(names ...string) {
	for _, name := range names {
		p := w.running[name]
		_ = p.cmd.Process.Kill()
		<-p.ended
		delete(w.running, name)
	}
}

func (w *world) loseDisk(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.RemoveAll(w.volume(name)); err != nil {
			t.Fatal(err)
		}
	}
}

// says waits until a member has said something.
func (w *world) says(t *testing.T, name, what string) {
	t.Helper()
	p := w.running[name]
	until(t, name+" says "+what, func() bool { return strings.Contains(p.out.String(), what) })
}

// fails waits until a member has ended by itself, and returns its last words.
func (w *world) fails(t *testing.T, name string) string {
	t.Helper()
	p := w.running[name]
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Fatalf("%s does not end: %s", name, p.out.tail())
	}
	delete(w.running, name)
	if code := p.cmd.ProcessState.ExitCode(); code != exitFailed {
		t.Errorf("%s: exit %d: %s", name, code, p.out.tail())
	}
	return p.out.String()
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// connect makes a client of these members.
func (w *world) connect(t *testing.T, names ...string) *clientv3.Client {
	t.Helper()
	files := clientTLS{ca: w.path("ca.crt"), cert: w.path("client.crt"), key: w.path("client.key")}
	var endpoints []string
	for _, name := range names {
		endpoints = append(endpoints, w.client[name])
	}
	config, err := files.config(endpoints)
	if err != nil {
		t.Fatal(err)
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints, TLS: config, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// healthy waits until each of these members answers by the cluster's quorum, and the cluster has exactly them.
func (w *world) healthy(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		client := w.connect(t, name)
		var last string
		p := w.running[name]
		deadline := time.Now().Add(patience)
		for {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			list, err := client.MemberList(ctx)
			if err == nil {
				_, err = client.Get(ctx, "x")
			}
			cancel()
			if err == nil {
				var have []string
				for _, m := range list.Members {
					if !m.GetIsLearner() && len(m.GetClientURLs()) > 0 {
						have = append(have, m.GetName())
					}
				}
				slices.Sort(have)
				if slices.Equal(have, slices.Sorted(slices.Values(names))) && len(list.Members) == len(names) {
					break
				}
				last = fmt.Sprint(list.Members)
			} else {
				last = err.Error()
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s is not healthy: %s\n%s", name, last, p.out.tail())
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// put writes through any of these members, once one of them has a leader.
func (w *world) put(t *testing.T, key, value string, names ...string) {
	t.Helper()
	client := w.connect(t, names...)
	until(t, "a write of "+key, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err := client.Put(ctx, key, value)
		return err == nil
	})
}

// want reads from each of these members' own memory, once it has caught up.
func (w *world) want(t *testing.T, key, value string, names ...string) {
	t.Helper()
	for _, name := range names {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		resp, err := w.connect(t, name).Get(ctx, key)
		cancel()
		if err != nil || len(resp.Kvs) != 1 || string(resp.Kvs[0].GetValue()) != value {
			t.Errorf("%s at %s: %v, %v", key, name, resp, err)
		}
	}
}

// ids are the members' ids by name.
func (w *world) ids(t *testing.T, name string) map[string]uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	list, err := w.connect(t, name).MemberList(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]uint64{}
	for _, m := range list.Members {
		ids[m.GetName()] = m.GetID()
	}
	return ids
}

// makeCertificates makes a CA, and certificates of it for the members and for a client.
func makeCertificates(t *testing.T, dir string) {
	t.Helper()
	caKey, ca := certificate(t, dir, "ca", nil, nil, &x509.Certificate{IsCA: true, KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true})
	certificate(t, dir, "server", ca, caKey, &x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	certificate(t, dir, "client", ca, caKey, &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

func certificate(t *testing.T, dir, name string, ca *x509.Certificate, caKey *ecdsa.PrivateKey, c *x509.Certificate) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	if ca == nil {
		ca, caKey = c, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, c, ca, key.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	rawKey, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for suffix, block := range map[string]*pem.Block{".crt": {Type: "CERTIFICATE", Bytes: raw}, ".key": {Type: "EC PRIVATE KEY", Bytes: rawKey}} {
		if err := os.WriteFile(filepath.Join(dir, name+suffix), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tls.LoadX509KeyPair(filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")); err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return key, parsed
}
