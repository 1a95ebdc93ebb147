package metadata

import (
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/drystone-store/drystone/services/metadata/internal/etcdclient"
)

const defaultDialTimeout = 2 * time.Second

// Etcd says where etcd is.
type Etcd struct {
	// Endpoints are `host:port` of its members.
	Endpoints []string `yaml:"endpoints"`
	// DialTimeout bounds one try to connect; 0: 2 s.
	DialTimeout time.Duration `yaml:"dial_timeout"`
}

// Dial makes a client for a replica of that name. It connects when it is used, and stays with one member as long as that
// answers; which one it tries first depends on the name, so that replicas of the same configuration spread. Close it
// after the service has ended. Errors: no endpoints, or one that is malformed.
func (e Etcd) Dial(replica string) (*clientv3.Client, error) {
	if len(e.Endpoints) == 0 {
		return nil, errors.New("etcd.endpoints: at least one is needed")
	}
	timeout := e.DialTimeout
	if timeout == 0 {
		timeout = defaultDialTimeout
	}
	client, err := etcdclient.New(e.Endpoints, replica, timeout)
	if err != nil {
		return nil, fmt.Errorf("dial etcd: %w", err)
	}
	return client, nil
}
