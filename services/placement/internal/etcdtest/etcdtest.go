// Package etcdtest runs real etcd members inside a test. Only tests import it.
package etcdtest

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/drystone-store/drystone/services/kit/mtls/mtlstest"
)

const (
	// tickMs and electionMs are a tenth of etcd's own, so that elections and leases take tests little time.
	tickMs     = 10
	electionMs = 100
	// patience bounds every wait of this package: the machine may be busy.
	patience = 30 * time.Second
)

// Cluster is some members on loopback.
type Cluster struct {
	members []*embed.Etcd
	configs []*embed.Config
}

// Start runs n members until the test ends.
func Start(t *testing.T, n int) *Cluster {
	t.Helper()
	return start(t, n, func(*embed.Config) {})
}

// StartSecure is Start for one member that serves only clients with a certificate of the CA.
func StartSecure(t *testing.T, ca *mtlstest.CA) *Cluster {
	t.Helper()
	files := ca.Write(t, t.TempDir(), mtlstest.Leaf{Name: "etcd", Hosts: []string{"127.0.0.1"}})
	return start(t, 1, func(cfg *embed.Config) {
		cfg.ClientTLSInfo = transport.TLSInfo{
			CertFile: files.Cert, KeyFile: string(files.Key), TrustedCAFile: files.CA, ClientCertAuth: true,
		}
		cfg.ListenClientUrls[0].Scheme, cfg.AdvertiseClientUrls[0].Scheme = "https", "https"
	})
}

func start(t *testing.T, n int, change func(*embed.Config)) *Cluster {
	t.Helper()
	peers := make([]string, n)
	for i := range peers {
		peers[i] = "http://" + freeAddress(t)
	}
	c := &Cluster{members: make([]*embed.Etcd, n)}
	for i := range n {
		c.configs = append(c.configs, configure(t, i, peers))
		change(c.configs[i])
	}
	t.Cleanup(func() {
		for i := range c.members {
			c.Stop(i)
		}
	})
	for i := range n {
		c.run(t, i)
	}
	for i := range n {
		select {
		case <-c.members[i].Server.ReadyNotify():
		case <-time.After(patience):
			t.Fatalf("etcd member %d does not get ready", i)
		}
	}
	return c
}

func configure(t *testing.T, i int, peers []string) *embed.Config {
	t.Helper()
	var initial []string
	for j, peer := range peers {
		initial = append(initial, fmt.Sprintf("m%d=%s", j, peer))
	}
	cfg := embed.NewConfig()
	cfg.Name = fmt.Sprintf("m%d", i)
	cfg.Dir = t.TempDir()
	cfg.TickMs, cfg.ElectionMs = tickMs, electionMs
	cfg.UnsafeNoFsync = true
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	peer, client := parse(t, peers[i]), parse(t, "http://"+freeAddress(t))
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	cfg.InitialCluster = strings.Join(initial, ",")
	return cfg
}

// Restart runs a stopped member again on the same address and data.
func (c *Cluster) Restart(t *testing.T, i int) {
	t.Helper()
	c.run(t, i)
}

func (c *Cluster) run(t *testing.T, i int) {
	t.Helper()
	member, err := embed.StartEtcd(c.configs[i])
	if err != nil {
		t.Fatalf("start etcd member %d: %v", i, err)
	}
	c.members[i] = member
}

// Stop ends a member; its data stays. Stopping twice does nothing.
func (c *Cluster) Stop(i int) {
	if c.members[i] != nil {
		c.members[i].Close()
		c.members[i] = nil
	}
}

// Endpoint is the clients' address of one member.
func (c *Cluster) Endpoint(i int) string { return c.configs[i].ListenClientUrls[0].Host }

// Client dials one member and closes with the test.
func (c *Cluster) Client(t *testing.T, i int) *clientv3.Client {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{c.Endpoint(i)}, Logger: zap.NewNop(),
	})
	if err != nil {
		t.Fatalf("dial etcd: %v", err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Errorf("close etcd client: %v", err)
		}
	})
	return client
}

// freeAddress finds a port by binding it for a moment.
func freeAddress(t *testing.T) string {
	t.Helper()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Errorf("release a port: %v", err)
		}
	}()
	return l.Addr().String()
}

func parse(t *testing.T, text string) url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return *u
}
