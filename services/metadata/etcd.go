package metadata

import (
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	defaultDialTimeout = 2 * time.Second
	// keepAliveTime is how often an idle connection is probed, not more often than etcd allows (5 s).
	keepAliveTime    = 6 * time.Second
	keepAliveTimeout = 2 * time.Second
	// reconnect bounds: with gRPC's own a replica needed 6 to 8 s after its member had stopped.
	reconnectFirst = 50 * time.Millisecond
	reconnectMax   = time.Second
	// pin makes gRPC stay with one member as long as it answers. The client's own round robin would send a barrier's read
	// to one member and the watch to another, which may be behind it.
	pin = `{"loadBalancingConfig":[{"pick_first":{}}]}`
)

// Etcd says where etcd is.
type Etcd struct {
	// Endpoints are `host:port` of its members.
	Endpoints []string `yaml:"endpoints"`
	// DialTimeout bounds one try to connect; 0: 2 s.
	DialTimeout time.Duration `yaml:"dial_timeout"`
}

// Dial makes a client, which connects when it is used, to one member after the other beginning with the one that the
// replica's name picks, so that replicas of the same configuration spread. Close it after the service has ended.
// Errors: no endpoints, or one that is malformed.
func (e Etcd) Dial(replica string) (*clientv3.Client, error) {
	if len(e.Endpoints) == 0 {
		return nil, errors.New("etcd.endpoints: at least one is needed")
	}
	timeout := e.DialTimeout
	if timeout == 0 {
		timeout = defaultDialTimeout
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints:         e.order(replica),
		DialTimeout:       timeout,
		DialKeepAliveTime: keepAliveTime, DialKeepAliveTimeout: keepAliveTimeout, PermitWithoutStream: true,
		DialOptions: []grpc.DialOption{
			grpc.WithDisableServiceConfig(), // the client's, for round robin
			grpc.WithDefaultServiceConfig(pin),
			grpc.WithConnectParams(grpc.ConnectParams{
				Backoff: backoff.Config{
					BaseDelay: reconnectFirst, Multiplier: backoff.DefaultConfig.Multiplier,
					Jitter: backoff.DefaultConfig.Jitter, MaxDelay: reconnectMax,
				},
				MinConnectTimeout: timeout,
			}),
		},
		Logger: zap.NewNop(), // what fails is in the errors that the head logs itself
	})
	if err != nil {
		return nil, fmt.Errorf("dial etcd: %w", err)
	}
	return client, nil
}

// order is the endpoints as one ring, begun at the replica's place.
func (e Etcd) order(replica string) []string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(replica)) // a hash takes everything
	first := int(h.Sum32() % uint32(len(e.Endpoints)))
	ordered := make([]string, 0, len(e.Endpoints))
	ordered = append(ordered, e.Endpoints[first:]...)
	return append(ordered, e.Endpoints[:first]...)
}
