// Package etcdtest runs etcd inside a test: real members on loopback, with their data in the test's folder.
package etcdtest

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/drystone-store/drystone/services/kit/mtls/mtlstest"
	"github.com/drystone-store/drystone/services/metadata/internal/etcdclient"
)

const (
	// startTimeout bounds how long members may take to elect a leader.
	startTimeout = 30 * time.Second
	// connectTimeout is that of a replica by default.
	connectTimeout = 2 * time.Second
)

// Cluster is some members of one etcd.
type Cluster struct {
	members []*embed.Etcd
}

// Start runs n members until the test ends.
func Start(tb testing.TB, n int) *Cluster {
	tb.Helper()
	return start(tb, n, func(*embed.Config) {})
}

// StartSecure is Start for one member that serves only clients with a certificate of the CA. It is called localhost.
func StartSecure(tb testing.TB, ca *mtlstest.CA) *Cluster {
	tb.Helper()
	files := ca.Write(tb, tb.TempDir(), mtlstest.Leaf{Name: "etcd", Hosts: []string{"localhost"}})
	return start(tb, 1, func(cfg *embed.Config) {
		cfg.ClientTLSInfo = transport.TLSInfo{
			CertFile: files.Cert, KeyFile: string(files.Key), TrustedCAFile: files.CA, ClientCertAuth: true,
		}
		cfg.ListenClientUrls[0].Scheme = "https"
		_, port, _ := net.SplitHostPort(cfg.ListenClientUrls[0].Host)
		cfg.AdvertiseClientUrls = []url.URL{{Scheme: "https", Host: net.JoinHostPort("localhost", port)}}
	})
}

func start(tb testing.TB, n int, change func(*embed.Config)) *Cluster {
	tb.Helper()
	configs := make([]*embed.Config, n)
	var initial []string
	for i := range configs {
		configs[i] = config(tb, i)
		change(configs[i])
		initial = append(initial, fmt.Sprintf("m%d=%s", i, configs[i].AdvertisePeerUrls[0].String()))
	}
	c := &Cluster{}
	tb.Cleanup(func() {
		for _, m := range c.members {
			m.Close()
		}
	})
	for _, cfg := range configs {
		cfg.InitialCluster = strings.Join(initial, ",")
		c.members = append(c.members, launch(tb, cfg))
	}
	for i := range c.members {
		c.wait(tb, i)
	}
	return c
}

// Restart stops the i-th member, calls meanwhile, and runs it again on its data.
func (c *Cluster) Restart(tb testing.TB, i int, meanwhile func()) {
	tb.Helper()
	cfg := c.members[i].Config()
	c.members[i].Close()
	meanwhile()
	c.members[i] = launch(tb, &cfg)
	c.wait(tb, i)
}

func launch(tb testing.TB, cfg *embed.Config) *embed.Etcd {
	tb.Helper()
	m, err := embed.StartEtcd(cfg)
	if err != nil {
		tb.Fatalf("start etcd: %v", err)
	}
	return m
}

func (c *Cluster) wait(tb testing.TB, i int) {
	tb.Helper()
	select {
	case <-c.members[i].Server.ReadyNotify():
	case <-time.After(startTimeout):
		tb.Fatal("etcd elects no leader")
	}
}

func config(tb testing.TB, i int) *embed.Config {
	tb.Helper()
	cfg := embed.NewConfig()
	cfg.Name = fmt.Sprintf("m%d", i)
	cfg.Dir = tb.TempDir()
	client, peer := freeURL(tb), freeURL(tb)
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = client, client
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = peer, peer
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	cfg.TickMs, cfg.ElectionMs = 50, 500
	cfg.SnapshotCount, cfg.SnapshotCatchUpEntries = 1000, 500
	cfg.QuotaBackendBytes = 2 << 30
	return cfg
}

func freeURL(tb testing.TB) []url.URL {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("find a free port: %v", err)
	}
	defer l.Close()
	return []url.URL{{Scheme: "http", Host: l.Addr().String()}}
}

// Client returns a client of the i-th member alone; it ends with the test.
func (c *Cluster) Client(tb testing.TB, i int) *clientv3.Client {
	tb.Helper()
	cl, err := etcdclient.New([]string{c.members[i].Config().ListenClientUrls[0].String()}, "test", connectTimeout)
	if err != nil {
		tb.Fatalf("etcd client: %v", err)
	}
	tb.Cleanup(func() { cl.Close() })
	return cl
}

// Endpoints are the clients' addresses of all members.
func (c *Cluster) Endpoints() (endpoints []string) {
	for _, m := range c.members {
		endpoints = append(endpoints, m.Config().AdvertiseClientUrls[0].Host)
	}
	return endpoints
}

// StopMember stops the member of that id for good; the others move up.
func (c *Cluster) StopMember(id uint64) {
	for i, m := range c.members {
		if uint64(m.Server.MemberID()) == id {
			m.Close()
			c.members = slices.Delete(c.members, i, i+1)
			return
		}
	}
}

// InProcess returns a client of the i-th member that calls it without gRPC; it ends with the test.
func (c *Cluster) InProcess(tb testing.TB, i int) *clientv3.Client {
	tb.Helper()
	cl := v3client.New(c.members[i].Server)
	tb.Cleanup(func() { cl.Close() })
	return cl
}

// MoveLeader gives the leader's office to the next member, if there is a leader just now.
func (c *Cluster) MoveLeader(ctx context.Context) error {
	for i, m := range c.members {
		if uint64(m.Server.MemberID()) == m.Server.Lead() {
			next := c.members[(i+1)%len(c.members)]
			return m.Server.MoveLeader(ctx, m.Server.Lead(), uint64(next.Server.MemberID()))
		}
	}
	return nil
}

// VerifyTestMain is goleak.VerifyTestMain for packages whose tests run members: closed members leave their peers' HTTP
// connections behind. The metadata service itself neither serves nor calls HTTP, so nothing of ours hides there.
func VerifyTestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("net/http.(*conn).serve"),
		goleak.IgnoreAnyFunction("net/http.(*connReader).backgroundRead"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
	)
}
