package metadata_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/drystone-store/drystone/services/kit/log"
	"github.com/drystone-store/drystone/services/kit/mtls/mtlstest"
	"github.com/drystone-store/drystone/services/metadata"
	"github.com/drystone-store/drystone/services/metadata/internal/etcdtest"
)

// ask makes one request of etcd.
func ask(t *testing.T, etcd *clientv3.Client) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err := etcd.Get(ctx, "k")
	return err
}

// A client whose files are renewed in place goes on with what is there, without being made anew.
func TestEtcdFilesAreRenewed(t *testing.T) {
	ca, folder := mtlstest.NewCA(t, "ours"), t.TempDir()
	cluster := etcdtest.StartSecure(t, ca)
	files := ca.Write(t, folder, mtlstest.Leaf{Name: "metadata", Expired: true})
	var lines strings.Builder
	etcd, err := metadata.Etcd{Endpoints: cluster.Endpoints(), TLS: files}.Dial("m-0", slog.New(slog.NewTextHandler(&lines, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if err := ask(t, etcd); err == nil {
		t.Fatal("a certificate that has expired was good enough")
	}
	ca.Write(t, folder, mtlstest.Leaf{Name: "metadata"})
	if err := ask(t, etcd); err != nil {
		t.Fatalf("with one that was renewed: %v", err)
	}
	cluster.Restart(t, 0, func() { ca.Write(t, folder, mtlstest.Leaf{Name: "metadata"}) })
	if err := ask(t, etcd); err != nil {
		t.Fatalf("after a restart of etcd: %v", err)
	}
	etcd.Close()
	if !strings.Contains(lines.String(), "has expired") {
		t.Errorf("told:\n%s", &lines)
	}
}

func TestEtcdRefusesStrangers(t *testing.T) {
	ours, foreign := mtlstest.NewCA(t, "ours"), mtlstest.NewCA(t, "foreign")
	cluster := etcdtest.StartSecure(t, ours)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ours.PEM())
	bare, err := clientv3.New(clientv3.Config{
		Endpoints: cluster.Endpoints(), TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}, Logger: zap.NewNop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer bare.Close()
	if err := ask(t, bare); err == nil {
		t.Error("a client without a certificate was served")
	}
	for name, tt := range map[string]struct {
		etcd metadata.Etcd
		told string // a part of the log
	}{
		"without TLS": {metadata.Etcd{Endpoints: cluster.Endpoints()}, ""},
		"another CA": {
			metadata.Etcd{Endpoints: cluster.Endpoints(), TLS: foreign.Write(t, t.TempDir(), mtlstest.Leaf{})},
			"unknown authority",
		},
		"another host": {
			metadata.Etcd{
				Endpoints: []string{strings.Replace(cluster.Endpoints()[0], "localhost", "127.0.0.1", 1)},
				TLS:       ours.Write(t, t.TempDir(), mtlstest.Leaf{}),
			},
			"cannot validate certificate for 127.0.0.1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var lines strings.Builder
			etcd, err := tt.etcd.Dial("m-0", slog.New(slog.NewTextHandler(&lines, nil)))
			if err != nil {
				t.Fatal(err)
			}
			err = ask(t, etcd)
			etcd.Close()
			if err == nil || !strings.Contains(lines.String(), tt.told) {
				t.Errorf("got %v and\n%s, want %q", err, &lines, tt.told)
			}
		})
	}
	missing := metadata.Etcd{Endpoints: cluster.Endpoints(), TLS: ours.Write(t, t.TempDir(), mtlstest.Leaf{})}
	missing.TLS.CA += "x"
	if _, err := missing.Dial("m-0", log.Discard()); err == nil || !strings.Contains(err.Error(), "etcd.tls: read the certificate authority") {
		t.Errorf("a file that is not there: %v", err)
	}
}
