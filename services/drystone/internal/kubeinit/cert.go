package kubeinit

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

const (
	year     = 365 * 24 * time.Hour
	caLife   = 10 * year
	leafLife = year
	// renewAtFraction: a certificate is renewed when less than this part of its life is left, a third. Weekly runs then
	// have four months of tries.
	renewAtFraction = 3
	// backdate covers clocks that are behind.
	backdate = time.Hour
)

// pair is a certificate with its key.
type pair struct {
	cert            *x509.Certificate
	key             crypto.Signer
	certPEM, keyPEM []byte
}

func parsePair(certPEM, keyPEM []byte) (pair, error) {
	both, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return pair{}, fmt.Errorf("read a certificate and its key: %w", err)
	}
	key, ok := both.PrivateKey.(crypto.Signer)
	if !ok {
		return pair{}, errors.New("read a certificate and its key: the key cannot sign")
	}
	return pair{cert: both.Leaf, key: key, certPEM: certPEM, keyPEM: keyPEM}, nil
}

// hosts are what a certificate is good for.
type hosts struct {
	names []string
	ips   []net.IP
}

func parseHosts(list []string) (hosts, error) {
	var h hosts
	for _, host := range list {
		host = strings.ToLower(strings.TrimSpace(host))
		if ip := net.ParseIP(strings.Trim(host, "[]")); ip != nil {
			h.ips = append(h.ips, ip)
			continue
		}
		// The library that checks certificates takes no names with other characters either.
		if host == "" || strings.ContainsFunc(host, func(r rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789-.*", r) }) {
			return h, fmt.Errorf("%q is no host name or address", host)
		}
		h.names = append(h.names, host)
	}
	return h, nil
}

// wanted describes a certificate.
type wanted struct {
	name  string
	hosts hosts
	// server: it serves as well as calls.
	server bool
}

func (w wanted) usages() []x509.ExtKeyUsage {
	if w.server {
		return []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	return []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
}

// servedBy tells whether a certificate is what is wanted, and will be for a while.
func (w wanted) servedBy(ca pair, certPEM, keyPEM []byte, now time.Time) bool {
	have, err := parsePair(certPEM, keyPEM)
	if err != nil || have.cert.CheckSignatureFrom(ca.cert) != nil {
		return false
	}
	life := have.cert.NotAfter.Sub(have.cert.NotBefore)
	if now.Before(have.cert.NotBefore) || have.cert.NotAfter.Sub(now) < life/renewAtFraction {
		return false
	}
	for _, usage := range w.usages() {
		if !slices.Contains(have.cert.ExtKeyUsage, usage) {
			return false
		}
	}
	for _, name := range w.hosts.names {
		if !slices.Contains(have.cert.DNSNames, name) {
			return false
		}
	}
	for _, ip := range w.hosts.ips {
		if !slices.ContainsFunc(have.cert.IPAddresses, ip.Equal) {
			return false
		}
	}
	return true
}

func newCA(now time.Time) (pair, error) {
	return newPair(&x509.Certificate{
		Subject: pkix.Name{CommonName: nameCA}, NotBefore: now.Add(-backdate), NotAfter: now.Add(caLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, nil)
}

// sign makes a certificate that ends a year from now, or with the CA.
func (ca pair) sign(w wanted, now time.Time) (pair, error) {
	end := now.Add(leafLife)
	if end.After(ca.cert.NotAfter) {
		end = ca.cert.NotAfter
	}
	return newPair(&x509.Certificate{
		Subject: pkix.Name{CommonName: w.name}, NotBefore: now.Add(-backdate), NotAfter: end,
		DNSNames: w.hosts.names, IPAddresses: w.hosts.ips,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: w.usages(), BasicConstraintsValid: true,
	}, &ca)
}

// newPair makes a key and a certificate for it, signed by ca, or by itself when that is nil.
func newPair(template *x509.Certificate, ca *pair) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, fmt.Errorf("make a key: %w", err)
	}
	signer, parent := crypto.Signer(key), template
	if ca != nil {
		signer, parent = ca.key, ca.cert
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return pair{}, fmt.Errorf("make a certificate: %w", err)
	}
	rawKey, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return pair{}, fmt.Errorf("write a key: %w", err)
	}
	return parsePair(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: rawKey}),
	)
}
