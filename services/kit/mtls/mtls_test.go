package mtls_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"

	"github.com/drystone-store/drystone/services/kit/config"
	"github.com/drystone-store/drystone/services/kit/log"
	"github.com/drystone-store/drystone/services/kit/mtls"
	"github.com/drystone-store/drystone/services/kit/mtls/mtlstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server wants certificates of the CA's clients and tells who called last.
type server struct {
	address string
	caller  chan string
}

func serve(t *testing.T, ca *mtlstest.CA, maxVersion uint16, hosts ...string) *server {
	t.Helper()
	pair, err := tls.X509KeyPair(ca.Issue(t, mtlstest.Leaf{Name: "server", Hosts: hosts}))
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(ca.PEM())
	s := &server{caller: make(chan string, 1)}
	g := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(&tls.Config{
			Certificates: []tls.Certificate{pair}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert,
			MinVersion: tls.VersionTLS12, MaxVersion: maxVersion,
		})),
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			from, _ := peer.FromContext(ctx)
			info, _ := from.AuthInfo.(credentials.TLSInfo)
			s.caller <- info.State.PeerCertificates[0].Subject.CommonName
			return handler(ctx, req)
		}))
	healthv1.RegisterHealthServer(g, health.NewServer())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	ended := make(chan error, 1)
	go func() { ended <- g.Serve(l) }()
	t.Cleanup(func() {
		g.Stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

// call makes one call over a connection of its own.
func call(t *testing.T, target string, options []grpc.DialOption) error {
	t.Helper()
	conn, err := grpc.NewClient(target, options...)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{})
	return err
}

func want(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v, want one with %q", err, part)
		}
	}
}

func options(t *testing.T, files mtls.Files) []grpc.DialOption {
	t.Helper()
	options, err := files.DialOptions(log.Discard())
	if err != nil {
		t.Fatal(err)
	}
	return options
}

// What is renewed in place counts from the next connection on, the certificate as well as the CA.
func TestRenewedInPlace(t *testing.T) {
	ours, next, folder := mtlstest.NewCA(t, "ours"), mtlstest.NewCA(t, "next"), t.TempDir()
	s := serve(t, ours, 0, "127.0.0.1")
	dialing := options(t, ours.Write(t, folder, mtlstest.Leaf{Name: "first"}))
	for _, name := range []string{"first", "second"} {
		ours.Write(t, folder, mtlstest.Leaf{Name: name})
		if err := call(t, s.address, dialing); err != nil {
			t.Fatal(err)
		}
		if got := <-s.caller; got != name {
			t.Errorf("called as %q, want %q", got, name)
		}
	}
	moved := serve(t, next, 0, "127.0.0.1")
	want(t, call(t, moved.address, dialing), "certificate signed by unknown authority")
	next.Write(t, folder, mtlstest.Leaf{Name: "third"})
	if err := call(t, moved.address, dialing); err != nil {
		t.Fatal(err)
	}
	if got := <-moved.caller; got != "third" {
		t.Errorf("called as %q", got)
	}
}

// A Secret's mount is a link to a link, which is swapped.
func TestMountedSecret(t *testing.T) {
	ca, folder := mtlstest.NewCA(t, "ours"), t.TempDir()
	s := serve(t, ca, 0, "127.0.0.1")
	var dialing []grpc.DialOption
	for _, name := range []string{"first", "second"} {
		version := filepath.Join(folder, "..version_"+name)
		if err := os.Mkdir(version, 0o700); err != nil {
			t.Fatal(err)
		}
		files := ca.Write(t, version, mtlstest.Leaf{Name: name})
		link(t, filepath.Base(version), filepath.Join(folder, "..data"))
		if dialing == nil {
			for _, path := range []*string{&files.CA, &files.Cert, (*string)(&files.Key)} {
				file := filepath.Base(*path)
				*path = filepath.Join(folder, file)
				link(t, filepath.Join("..data", file), *path)
			}
			dialing = options(t, files)
		}
		if err := call(t, s.address, dialing); err != nil {
			t.Fatal(err)
		}
		if got := <-s.caller; got != name {
			t.Errorf("called as %q, want %q", got, name)
		}
	}
}

func link(t *testing.T, to, path string) {
	t.Helper()
	if err := os.Symlink(to, path+".next"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".next", path); err != nil {
		t.Fatal(err)
	}
}

func TestRefusals(t *testing.T) {
	ours, foreign := mtlstest.NewCA(t, "ours"), mtlstest.NewCA(t, "foreign")
	s := serve(t, ours, 0, "127.0.0.1")
	write := func(ca *mtlstest.CA, leaf mtlstest.Leaf) mtls.Files { return ca.Write(t, t.TempDir(), leaf) }
	mine := write(ours, mtlstest.Leaf{Name: "client"})
	gone := write(ours, mtlstest.Leaf{Name: "client"})
	goneOptions := options(t, gone)
	if err := os.Remove(gone.Cert); err != nil {
		t.Fatal(err)
	}
	stranger := write(foreign, mtlstest.Leaf{Name: "client"})
	stranger.CA = mine.CA
	for _, tt := range []struct {
		name, target string
		options      []grpc.DialOption
		errs         []string
	}{
		{"the server's CA is another", s.address, options(t, write(foreign, mtlstest.Leaf{})), []string{"tls to 127.0.0.1", "unknown authority"}},
		{"the server is another host", serve(t, ours, 0, "etcd-0").address, options(t, mine), []string{"127.0.0.1"}},
		{"the server is another address", serve(t, ours, 0, "127.0.0.2").address, options(t, mine), []string{"127.0.0.2, not 127.0.0.1"}},
		{"the server is too old", serve(t, ours, tls.VersionTLS12, "127.0.0.1").address, options(t, mine), []string{"protocol version"}},
		{"the client's CA is another", s.address, options(t, stranger), []string{"does not want a certificate like", "acceptable CA"}},
		{"the client's certificate has expired", s.address, options(t, write(ours, mtlstest.Leaf{Expired: true})), []string{"tls.crt has expired at"}},
		{"a file is gone", s.address, goneOptions, []string{"read the certificate", "no such file"}},
		{"no tls", s.address, []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := call(t, tt.target, tt.options)
			if err == nil {
				t.Error("the call went through")
			}
			want(t, err, tt.errs...)
		})
	}
}

// What fails again and again is told once.
func TestFailuresAreTold(t *testing.T) {
	foreign := mtlstest.NewCA(t, "foreign")
	s := serve(t, mtlstest.NewCA(t, "ours"), 0, "127.0.0.1")
	var lines strings.Builder
	dialing, err := foreign.Write(t, t.TempDir(), mtlstest.Leaf{}).DialOptions(slog.New(slog.NewTextHandler(&lines, nil)))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		want(t, call(t, s.address, dialing), "unknown authority")
	}
	if got := lines.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "unknown authority") {
		t.Errorf("told:\n%s", got)
	}
}

func TestDialOptions(t *testing.T) {
	ca := mtlstest.NewCA(t, "ours")
	change := func(change func(f *mtls.Files)) mtls.Files {
		files := ca.Write(t, t.TempDir(), mtlstest.Leaf{Name: "client"})
		change(&files)
		return files
	}
	for _, tt := range []struct {
		name  string
		files mtls.Files
		errs  []string
	}{
		{"a part", mtls.Files{Cert: "/c"}, []string{"ca_file: ", "key_file: "}},
		{"the other part", mtls.Files{CA: "/a", Key: "/k"}, []string{"cert_file: "}},
		{"no CA", change(func(f *mtls.Files) { f.CA += "x" }), []string{"certificate authority", "no such file"}},
		{"a CA that is none", change(func(f *mtls.Files) { f.CA = string(f.Key) }), []string{"no certificate in PEM"}},
		{"no certificate", change(func(f *mtls.Files) { f.Cert += "x" }), []string{"the certificate", "no such file"}},
		{"a certificate of another key", change(func(f *mtls.Files) { f.Cert = f.CA }), []string{"private key does not match"}},
		{"no key", change(func(f *mtls.Files) { f.Key += "x" }), []string{"no such file"}},
		{"a key for everybody", change(func(f *mtls.Files) {
			if err := os.Chmod(string(f.Key), 0o444); err != nil {
				t.Fatal(err)
			}
		}), []string{"0444", "others"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.files.DialOptions(log.Discard())
			want(t, err, tt.errs...)
		})
	}
	if options, err := (mtls.Files{}).DialOptions(log.Discard()); len(options) > 0 || err != nil {
		t.Errorf("nothing is configured: %d options, %v", len(options), err)
	}
	var files mtls.Files
	if err := config.Parse([]byte("{ca_file: /a, cert_file: /c, key_file: /k}"), &files); err != nil || files != (mtls.Files{CA: "/a", Cert: "/c", Key: "/k"}) {
		t.Errorf("%+v, %v", files, err)
	}
}
