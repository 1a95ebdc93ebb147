package cli

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"strings"

	"go.etcd.io/etcd/client/pkg/v3/transport"
)

// clientTLS are the files with which a client of etcd shows who it is.
type clientTLS struct{ ca, cert, key string }

func (c *clientTLS) flags(f *flag.FlagSet) {
	f.StringVar(&c.ca, "cacert", "", "`file` with the CA of the members' certificates; needed for https")
	f.StringVar(&c.cert, "cert", "", "`file` with the client's certificate")
	f.StringVar(&c.key, "key", "", "`file` with the client's key")
}

// config reads the files; nil when there are none. Certificate and key are read again for each connection.
func (c *clientTLS) config(endpoints []string) (*tls.Config, error) {
	secure := false
	for _, e := range endpoints {
		secure = secure || strings.HasPrefix(e, "https://")
	}
	if c.ca == "" && c.cert == "" && c.key == "" {
		if secure {
			return nil, usageError{errors.New("https endpoints need a CA file, and usually a certificate and a key")}
		}
		return nil, nil //nolint:nilnil // no TLS is a configuration too
	}
	if (c.cert == "") != (c.key == "") {
		return nil, usageError{errors.New("a client's certificate and its key come together")}
	}
	config, err := transport.TLSInfo{TrustedCAFile: c.ca, CertFile: c.cert, KeyFile: c.key}.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("read the client's TLS files: %w", err)
	}
	return config, nil
}

// list splits a flag's comma-separated value; empty parts are left out.
func list(value string) []string {
	var out []string
	for part := range strings.SplitSeq(value, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}
