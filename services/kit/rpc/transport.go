package rpc

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"
)

const (
	mib = 1 << 20

	// MaxMessageBytes bounds a received message: 4 MiB of payload, the largest that any RPC carries, and 1 MiB for what
	// stands around it. Both sides use it.
	MaxMessageBytes = 4*mib + mib

	// streamWindow holds two frames of 1 MiB: one on its way while one is being handled. Larger ones only hold more
	// memory for readers that stall.
	streamWindow = 2 * mib
	// connWindow lets a few streams of one peer run at full speed.
	connWindow = 8 * mib
	// socketBuffer is read or written by one system call; gRPC shares write buffers between idle connections.
	socketBuffer = 128 << 10

	// pingAfter and pingTimeout find a dead connection in seconds instead of TCP's minutes. 10 s is gRPC's least.
	pingAfter   = 10 * time.Second
	pingTimeout = 3 * time.Second
	// pingLeast is what a server tolerates, below pingAfter for jitter.
	pingLeast = 5 * time.Second

	// Reconnects must not be the slow part of a restart: gRPC's default backoff made recovery 6 to 8 s.
	backoffBase    = 50 * time.Millisecond
	backoffMax     = time.Second
	backoffFactor  = 1.6
	backoffJitter  = 0.2
	connectTimeout = 2 * time.Second
	// handshakeTimeout ends connections that nothing comes of.
	handshakeTimeout = 5 * time.Second

	// headerListBytes bounds metadata: the largest is an object's, 2 KiB of it the user's.
	headerListBytes = 32 << 10

	// overloadRetryAfter is what a refused caller is told to wait.
	overloadRetryAfter = 100 * time.Millisecond

	// roundRobin spreads calls over the addresses of a DNS name.
	roundRobin = `{"loadBalancingConfig":[{"round_robin":{}}]}`
)

// serverTransport is how grpc.Servers of the mesh are set up.
func serverTransport(unary grpc.UnaryServerInterceptor, stream grpc.StreamServerInterceptor, streams uint32) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.UnaryInterceptor(unary),
		grpc.StreamInterceptor(stream),
		grpc.MaxRecvMsgSize(MaxMessageBytes),
		grpc.MaxSendMsgSize(MaxMessageBytes),
		grpc.MaxHeaderListSize(headerListBytes),
		// Unary calls share the connection's streams with streams proper; the bounds proper are in the interceptors,
		// which answer instead of queueing.
		grpc.MaxConcurrentStreams(2 * streams),
		grpc.InitialWindowSize(streamWindow),
		grpc.InitialConnWindowSize(connWindow),
		grpc.ReadBufferSize(socketBuffer),
		grpc.WriteBufferSize(socketBuffer),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingLeast, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingAfter, Timeout: pingTimeout}),
		// The transport waits for handlers when it stops: their buffers are theirs until they return.
		grpc.WaitForHandlers(true),
	}
}

// clientTransport is how grpc.ClientConns of the mesh are set up.
func clientTransport() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithDisableRetry(), // Conn owns retries
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultServiceConfig(roundRobin),
		grpc.WithNoProxy(), // peers are never behind one
		grpc.WithInitialWindowSize(streamWindow),
		grpc.WithInitialConnWindowSize(connWindow),
		grpc.WithReadBufferSize(socketBuffer),
		grpc.WithWriteBufferSize(socketBuffer),
		grpc.WithIdleTimeout(0), // keep connections to peers: a cold one costs the first caller
		grpc.WithMaxHeaderListSize(headerListBytes),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingTimeout, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: backoffBase, Multiplier: backoffFactor, Jitter: backoffJitter, MaxDelay: backoffMax},
			MinConnectTimeout: connectTimeout,
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessageBytes), grpc.MaxCallSendMsgSize(MaxMessageBytes)),
	}
}
