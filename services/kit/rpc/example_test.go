package rpc_test

import (
	"context"
	"fmt"

	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/drystone-store/drystone/services/kit/rpc"
)

// Two services of one process: the caller's code is the same as over the network, where the target would be an address.
func Example() {
	registry := rpc.NewRegistry()
	registry.Register("placement", rpc.NewServer(rpc.ServerOptions{Name: "placement"}))

	dialer := rpc.NewDialer(rpc.DialerOptions{Registry: registry, Caller: "metadata"})
	conn, err := dialer.Dial("inproc:placement", rpc.ConnOptions{Peer: "placement"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	resp, err := healthv1.NewHealthClient(conn).Check(context.Background(), &healthv1.HealthCheckRequest{})
	fmt.Println(resp.GetStatus(), err)
	// Output: SERVING <nil>
}
