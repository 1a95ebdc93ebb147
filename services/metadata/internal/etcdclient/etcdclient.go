// Package etcdclient makes the etcd client of a replica.
package etcdclient

import (
	"fmt"
	"hash/fnv"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

const (
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

// New makes a client, which connects when it is used, to one endpoint after the other beginning with the one that the
// replica's name picks, so that replicas of the same configuration spread. The timeout bounds one try to connect;
// security is how connections are secured, by default not at all. Errors: no endpoints, or one that is malformed.
func New(endpoints []string, replica string, timeout time.Duration, security ...grpc.DialOption) (*clientv3.Client, error) {
	client, err := clientv3.New(clientv3.Config{
		Endpoints:         order(endpoints, replica),
		DialTimeout:       timeout,
		DialKeepAliveTime: keepAliveTime, DialKeepAliveTimeout: keepAliveTimeout, PermitWithoutStream: true,
		DialOptions: append([]grpc.DialOption{
			grpc.WithDisableServiceConfig(), // the client's, for round robin
			grpc.WithDefaultServiceConfig(pin),
			grpc.WithConnectParams(grpc.ConnectParams{
				Backoff: backoff.Config{
					BaseDelay: reconnectFirst, Multiplier: backoff.DefaultConfig.Multiplier,
					Jitter: backoff.DefaultConfig.Jitter, MaxDelay: reconnectMax,
				},
				MinConnectTimeout: timeout,
			}),
		}, security...),
		Logger: zap.NewNop(), // what fails is in the errors that the head logs itself
	})
	if err != nil {
		return nil, fmt.Errorf("make an etcd client: %w", err)
	}
	return client, nil
}

// order is the endpoints as a ring, begun at the replica's place.
func order(endpoints []string, replica string) []string {
	if len(endpoints) == 0 {
		return nil
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(replica)) // a hash takes everything
	first := int(h.Sum32() % uint32(len(endpoints)))
	ordered := make([]string, 0, len(endpoints))
	ordered = append(ordered, endpoints[first:]...)
	return append(ordered, endpoints[:first]...)
}
