package metadata

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/drystone-store/drystone/services/kit/mtls"
	"github.com/drystone-store/drystone/services/metadata/internal/etcdclient"
)

const defaultDialTimeout = 2 * time.Second

// Etcd says where etcd is.
type Etcd struct {
	// Endpoints are `host:port` of its members.
	Endpoints []string `yaml:"endpoints"`
	// DialTimeout bounds one try to connect; 0: 2 s.
	DialTimeout time.Duration `yaml:"dial_timeout"`
	// TLS has the files to reach it by mutual TLS; none: without TLS. They are read again for every connection, so they may
	// be renewed in place. The server's certificate must name the endpoint's host.
	TLS mtls.Files `yaml:"tls"`
}

// Dial makes a client for a replica of that name. It connects when it is used, and stays with one member as long as that
// answers; which one it tries first depends on the name, so that replicas of the same configuration spread. Close it
// after the service has ended. Why there is no TLS with a member is told log. Errors: no endpoints, or one that is
// malformed; files of TLS that make no sense.
func (e Etcd) Dial(replica string, log *slog.Logger) (*clientv3.Client, error) {
	if len(e.Endpoints) == 0 {
		return nil, errors.New("etcd.endpoints: at least one is needed")
	}
	timeout := e.DialTimeout
	if timeout == 0 {
		timeout = defaultDialTimeout
	}
	security, err := e.TLS.DialOptions(log)
	if err != nil {
		return nil, fmt.Errorf("etcd.tls: %w", err)
	}
	client, err := etcdclient.New(e.Endpoints, replica, timeout, security...)
	if err != nil {
		return nil, fmt.Errorf("dial etcd: %w", err)
	}
	return client, nil
}
