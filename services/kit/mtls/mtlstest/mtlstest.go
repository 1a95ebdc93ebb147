// Package mtlstest makes certificates for tests. Only tests import it.
package mtlstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/config"
	"github.com/drystone-store/drystone/services/kit/mtls"
)

const (
	// validity is that of certificates by default.
	validity   = time.Hour
	serialBits = 64
	publicMode = 0o644
	// secretMode is what Kubernetes gives a Secret's files under an fsGroup.
	secretMode = 0o440
)

// CA signs certificates.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

// NewCA makes one of that name.
func NewCA(tb testing.TB, name string) *CA {
	tb.Helper()
	key := newKey(tb)
	cert := &x509.Certificate{
		SerialNumber: serial(tb), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: clock.Now().Add(-validity), NotAfter: clock.Now().Add(validity), KeyUsage: x509.KeyUsageCertSign,
	}
	der := sign(tb, cert, cert, key, key)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return &CA{cert: cert, key: key, pem: encode("CERTIFICATE", der)}
}

// PEM is its certificate.
func (ca *CA) PEM() []byte { return ca.pem }

// Leaf says what a certificate is for.
type Leaf struct {
	// Name is its common name.
	Name string
	// Hosts are names and addresses of a server.
	Hosts []string
	// Expired ones were valid once.
	Expired bool
}

// Issue signs a certificate for clients and servers and returns it with its key, in PEM.
func (ca *CA) Issue(tb testing.TB, leaf Leaf) (cert, key []byte) {
	tb.Helper()
	template := &x509.Certificate{
		SerialNumber: serial(tb), Subject: pkix.Name{CommonName: leaf.Name},
		NotBefore: clock.Now().Add(-2 * validity), NotAfter: clock.Now().Add(validity),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if leaf.Expired {
		template.NotAfter = clock.Now().Add(-validity)
	}
	for _, host := range leaf.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	private := newKey(tb)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		tb.Fatal(err)
	}
	return encode("CERTIFICATE", sign(tb, template, ca.cert, private, ca.key)), encode("PRIVATE KEY", der)
}

// Write issues a certificate and puts it into the folder, with its key and the CA; what is there is replaced.
func (ca *CA) Write(tb testing.TB, folder string, leaf Leaf) mtls.Files {
	tb.Helper()
	cert, key := ca.Issue(tb, leaf)
	files := mtls.Files{
		CA: filepath.Join(folder, "ca.crt"), Cert: filepath.Join(folder, "tls.crt"),
		Key: config.SecretFile(filepath.Join(folder, "tls.key")),
	}
	for _, file := range []struct {
		path    string
		content []byte
		mode    os.FileMode
	}{{files.CA, ca.pem, publicMode}, {files.Cert, cert, publicMode}, {string(files.Key), key, secretMode}} {
		next := file.path + ".next"
		if err := os.WriteFile(next, file.content, file.mode); err != nil {
			tb.Fatal(err)
		}
		if err := os.Rename(next, file.path); err != nil {
			tb.Fatal(err)
		}
	}
	return files
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func serial(tb testing.TB) *big.Int {
	tb.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

func sign(tb testing.TB, cert, parent *x509.Certificate, key, by *ecdsa.PrivateKey) []byte {
	tb.Helper()
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, key.Public(), by)
	if err != nil {
		tb.Fatal(err)
	}
	return der
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
