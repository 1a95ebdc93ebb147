// Package mtls is a client's half of mutual TLS with PEM files that are renewed in place, as a Kubernetes Secret's are.
//
// Constraints:
//
//  1. The files are read anew for every handshake, so what was renewed counts from the next connection on, without a
//     restart, a watch or a clock. Connections are few and live long; three small files cost nothing beside a handshake.
//  2. Files that do not fit together, for they were read in the middle of a renewal, fail one handshake; who dials tries
//     again anyway.
//  3. A handshake that fails is logged: clients that try again for as long as they have time, as etcd's does, keep the
//     reason to themselves.
//  4. The server's certificate is verified by the standard library against the CA file and the host that is dialed.
package mtls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/config"
)

// tellAgainAfter bounds the lines about one failure: dials are repeated every second.
const tellAgainAfter = 30 * time.Second

// Files are the paths of a client's PEM files: all of them, or none for connections without TLS.
type Files struct {
	// CA has the certificates that the server's must lead to; the system's do not count.
	CA string `yaml:"ca_file"`
	// Cert is the client's certificate, with what leads to its CA behind it.
	Cert string `yaml:"cert_file"`
	// Key is its private key. Others must have no rights to it.
	Key config.SecretFile `yaml:"key_file"`
}

// Configured says whether any file is named.
func (f Files) Configured() bool { return f != Files{} }

// Validate reports what is missing; the files themselves are looked at by DialOptions.
func (f Files) Validate() error {
	if !f.Configured() {
		return nil
	}
	var errs []error
	for _, field := range []struct{ name, path string }{{"ca_file", f.CA}, {"cert_file", f.Cert}, {"key_file", string(f.Key)}} {
		if field.path == "" {
			errs = append(errs, fmt.Errorf("%s: is needed beside the others", field.name))
		}
	}
	return errors.Join(errs...)
}

// DialOptions make gRPC connections speak TLS 1.3 with these files; there are none if no files are named. Errors: files
// that are missing or make no sense now, or a key that everybody may read. What happens to them later fails handshakes,
// which log tells of, in words, once for a while.
func (f Files) DialOptions(log *slog.Logger) ([]grpc.DialOption, error) {
	if !f.Configured() {
		return nil, nil
	}
	if err := f.Validate(); err != nil {
		return nil, err
	}
	if _, err := f.load(); err != nil {
		return nil, err
	}
	return []grpc.DialOption{grpc.WithTransportCredentials(&handshaker{files: f, failures: &failures{log: log}})}, nil
}

// load reads the files.
func (f Files) load() (*tls.Config, error) {
	authority, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, fmt.Errorf("read the certificate authority: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("read the certificate authority: %s has no certificate in PEM", f.CA)
	}
	certificate, err := os.ReadFile(f.Cert)
	if err != nil {
		return nil, fmt.Errorf("read the certificate: %w", err)
	}
	key, err := f.Key.Read()
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("pair %s with %s: %w", f.Cert, f.Key, err)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: roots,
		// In TLS 1.3 a server refuses a certificate after the client's handshake is over, which shows as a connection that
		// broke. So what can be known here is said here.
		GetClientCertificate: func(wanted *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if err := wanted.SupportsCertificate(&pair); err != nil {
				return nil, fmt.Errorf("the server does not want a certificate like %s: %w", f.Cert, err)
			}
			if end := pair.Leaf.NotAfter; clock.Now().After(end) {
				return nil, fmt.Errorf("%s has expired at %s", f.Cert, end.Format(time.RFC3339))
			}
			return &pair, nil
		},
	}, nil
}

// handshaker is gRPC's TLS with files that are read for each handshake. A tls.Config that lives longer would do for the
// client's certificate, but not for the CA: it takes new roots only together with verifying everything oneself.
type handshaker struct {
	files    Files
	failures *failures
}

// ClientHandshake implements credentials.TransportCredentials.
func (h *handshaker) ClientHandshake(ctx context.Context, host string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secure, info, err := h.handshake(ctx, host, conn)
	if err != nil {
		h.failures.tell(ctx, host, err)
		return nil, nil, fmt.Errorf("tls to %s: %w", host, err)
	}
	return secure, info, nil
}

func (h *handshaker) handshake(ctx context.Context, host string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	loaded, err := h.files.load()
	if err != nil {
		return nil, nil, err
	}
	return credentials.NewTLS(loaded).ClientHandshake(ctx, host, conn) //nolint:wrapcheck // ClientHandshake does
}

// ServerHandshake implements credentials.TransportCredentials; these are a client's only.
func (*handshaker) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("these credentials are a client's")
}

// failures logs why handshakes fail: each reason at once, the same one again after a while.
type failures struct {
	log *slog.Logger

	mu   sync.Mutex
	last string
	told time.Time
}

func (f *failures) tell(ctx context.Context, host string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	text := host + err.Error()
	if text == f.last && clock.Since(f.told) < tellAgainAfter {
		return
	}
	f.last, f.told = text, clock.Now()
	f.log.LogAttrs(ctx, slog.LevelWarn, "no TLS with a peer", slog.String("host", host), slog.Any("error", err))
}

// Info implements credentials.TransportCredentials.
func (*handshaker) Info() credentials.ProtocolInfo {
	return credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS13}).Info()
}

// Clone implements credentials.TransportCredentials.
func (h *handshaker) Clone() credentials.TransportCredentials {
	return &handshaker{files: h.files, failures: h.failures}
}

// OverrideServerName implements credentials.TransportCredentials; the host that is dialed is what is verified.
func (*handshaker) OverrideServerName(string) error {
	return errors.New("the server's name is that of the target")
}
