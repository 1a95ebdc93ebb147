package mesh

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// Addresses outlive their processes, so they come from below the range of which the kernel takes ports for outgoing
// connections (32768 and up on Linux): none is taken while a killed process is away.
const (
	firstPort = 10_000
	lastPort  = 32_000
)

// freePorts finds n loopback ports that nobody listens on, each once.
func freePorts(n int) ([]int, error) {
	var held []net.Listener
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	ports := make([]int, 0, n)
	// Begin anywhere, so that meshes made at the same time rarely meet.
	start := rand.IntN(lastPort - firstPort)
	for i := 0; i < lastPort-firstPort && len(ports) < n; i++ {
		port := firstPort + (start+i)%(lastPort-firstPort)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		held = append(held, l)
		ports = append(ports, port)
	}
	if len(ports) < n {
		return nil, errors.New("there are not enough free ports on the loopback interface")
	}
	return ports, nil
}
