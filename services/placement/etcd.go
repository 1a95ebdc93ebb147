package placement

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/drystone-store/drystone/services/kit/mtls"
)

const (
	// keepAliveTime is how often an idle connection is probed, not more often than etcd allows (5 s).
	keepAliveTime    = 6 * time.Second
	keepAliveTimeout = 2 * time.Second
	// reconnect bounds. gRPC's own 120 s would keep a replica off etcd long after its member is back.
	reconnectFirst = 50 * time.Millisecond
	reconnectMax   = time.Second
	connectTimeout = 2 * time.Second
)

// Etcd says where etcd is.
type Etcd struct {
	// Endpoints are `host:port` of its members.
	Endpoints []string `yaml:"endpoints"`
	// TLS has the files to reach it by mutual TLS; none: without TLS. They are read again for every connection, so they may
	// be renewed in place. The server's certificate must name the endpoint's host.
	TLS mtls.Files `yaml:"tls"`
}

// Dial makes a client, which connects when it is used. Close it after the service has ended. Why there is no TLS with a
// member is told log. Errors: no endpoints, or
// one that is malformed; files of TLS that make no sense.
func (e Etcd) Dial(log *slog.Logger) (*clientv3.Client, error) {
	if len(e.Endpoints) == 0 {
		return nil, errors.New("etcd.endpoints: at least one is needed")
	}
	security, err := e.TLS.DialOptions(log)
	if err != nil {
		return nil, fmt.Errorf("etcd.tls: %w", err)
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints:         e.Endpoints,
		DialKeepAliveTime: keepAliveTime, DialKeepAliveTimeout: keepAliveTimeout, PermitWithoutStream: true,
		DialOptions: append([]grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: reconnectFirst, Multiplier: backoff.DefaultConfig.Multiplier,
				Jitter: backoff.DefaultConfig.Jitter, MaxDelay: reconnectMax,
			},
			MinConnectTimeout: connectTimeout,
		})}, security...),
		Logger: zap.NewNop(), // what fails is in the errors that placement logs itself
	})
	if err != nil {
		return nil, fmt.Errorf("dial etcd: %w", err)
	}
	return client, nil
}
