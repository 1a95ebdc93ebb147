// Package app turns a service into a process.
package app

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drystone-store/drystone/services/kit/rpc"
)

// Env is what every service gets from the process it runs in.
type Env struct {
	Log     *slog.Logger
	Metrics prometheus.Registerer
	// Dialer reaches the other services.
	Dialer *rpc.Dialer
	// Registry knows the servers of this process. A service that others shall find in process registers its server.
	Registry *rpc.Registry
}
