package kubeinit

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/drystone-store/drystone/services/kit/kube/kubetest"
)

// mount writes a Secret's keys into a folder, as the kubelet does.
func mount(t *testing.T, api *kubetest.API, secret, dir string) {
	t.Helper()
	data, _, _ := api.Secret(secret)
	for name, value := range data {
		if err := os.WriteFile(filepath.Join(dir, name), value, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func freeURL(t *testing.T) url.URL {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return url.URL{Scheme: "https", Host: l.Addr().String()}
}

// member starts an etcd that takes certificates of the CA only, from clients and from other members.
func member(t *testing.T, files, name, cluster string, client, peer url.URL) *embed.Etcd {
	t.Helper()
	info := transport.TLSInfo{
		CertFile: filepath.Join(files, "server.crt"), KeyFile: filepath.Join(files, "server.key"),
		TrustedCAFile: filepath.Join(files, "ca.crt"), ClientCertAuth: true,
	}
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir, cfg.InitialCluster = name, t.TempDir(), cluster
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	cfg.ClientTLSInfo, cfg.PeerTLSInfo = info, info
	cfg.UnsafeNoFsync, cfg.TickMs, cfg.ElectionMs = true, 50, 500
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// use writes and reads through an endpoint, with these files.
func use(t *testing.T, endpoint, files, cert string) error {
	t.Helper()
	info := transport.TLSInfo{TrustedCAFile: filepath.Join(files, "ca.crt")}
	if cert != "" {
		info.CertFile, info.KeyFile = filepath.Join(files, cert+".crt"), filepath.Join(files, cert+".key")
	}
	config, err := info.ClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, TLS: config, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	timeout := 30 * time.Second
	if cert == "" {
		timeout = time.Second
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	_, err = client.Put(ctx, "x", "y")
	return err
}

// etcd and its clients take the certificates, and go on with renewed ones.
func TestEtcdTakesTheCertificates(t *testing.T) {
	api := kubetest.Start(t)
	o := everything()
	if _, err := run(t, api.Client(t), o, time.Now()); err != nil {
		t.Fatal(err)
	}
	files := t.TempDir()
	mount(t, api, "etcd", files)

	var clients, peers [2]url.URL
	cluster := ""
	for i := range peers {
		clients[i], peers[i] = freeURL(t), freeURL(t)
		cluster += fmt.Sprintf(",m%d=%s", i, peers[i].String())
	}
	var members []*embed.Etcd
	for i := range peers {
		members = append(members, member(t, files, fmt.Sprintf("m%d", i), cluster[1:], clients[i], peers[i]))
	}
	for _, m := range members {
		select {
		case <-m.Server.ReadyNotify():
		case <-time.After(30 * time.Second):
			t.Fatal("the members do not find each other")
		}
	}
	if err := use(t, clients[0].String(), files, "client"); err != nil {
		t.Error(err)
	}
	if err := use(t, clients[0].String(), files, ""); err == nil {
		t.Error("a client without a certificate was served")
	}

	// A host more makes a new certificate, under the same CA.
	o.EtcdHosts = append(o.EtcdHosts, "etcd.example.com")
	mustRun(t, api.Client(t), o, time.Now(), "kept root", "kept etcd-ca", "changed etcd server.crt server.key")
	mount(t, api, "etcd", files)
	for i := range clients {
		if err := use(t, clients[i].String(), files, "client"); err != nil {
			t.Errorf("member %d after the renewal: %v", i, err)
		}
	}
}
