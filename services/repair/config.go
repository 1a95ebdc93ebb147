// Package repair is the custodian of all rewriting: sealing what writers left, rebuilding what was lost, compaction.
// So far it watches, tells what it would have to do, and changes nothing.
package repair

import (
	"errors"
	"fmt"
	"net"
)

// Config configures a repair service. It has no secrets.
type Config struct {
	// Name of this replica in logs.
	Name string `yaml:"name"`
	// Listen is the gRPC address, `host:port`; empty: in process only.
	Listen string `yaml:"listen"`
	// Placement has the targets of all placement replicas.
	Placement []string `yaml:"placement"`
}

// Validate reports everything that is wrong.
func (c Config) Validate() error {
	var errs []error
	if c.Name == "" {
		errs = append(errs, errors.New("name: is needed"))
	}
	if c.Listen != "" {
		if _, _, err := net.SplitHostPort(c.Listen); err != nil {
			errs = append(errs, fmt.Errorf("listen: %w", err))
		}
	}
	if len(c.Placement) == 0 {
		errs = append(errs, errors.New("placement: at least one target is needed"))
	}
	return errors.Join(errs...)
}
