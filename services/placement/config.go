// Package placement decides where bytes live: it keeps the register of nodes, the volume map and the writers' terms in
// etcd, and picks disks for new volumes. It dials nobody but etcd.
package placement

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/kit/config"
)

const (
	defaultSuspectAfter = 3 * time.Second
	defaultDownAfter    = 5 * time.Second
	// minSuspectAfter keeps heartbeats, three of which must fit, from becoming a load.
	minSuspectAfter = 300 * time.Millisecond

	defaultVolumeSize = 1 << 30
	// A volume smaller than a stripe's blocks is none; one above 64 GiB makes repairs long and fills disks in steps.
	minVolumeSize = 16 << 20
	maxVolumeSize = 64 << 30
)

// Config configures a placement replica. It has no secrets, only paths of them; zero values are usable except for the name.
type Config struct {
	// Name of this replica in logs.
	Name string `yaml:"name"`
	// Listen is the gRPC address, `host:port`; empty: in process only.
	Listen string `yaml:"listen"`
	// Etcd is where drystone-placement finds etcd. New takes a client instead.
	Etcd Etcd `yaml:"etcd"`
	// DefaultScheme of buckets that ask for none, such as rs-5-4; empty: what fits best. It is judged whenever it is
	// asked for, by the disks that are registered then.
	DefaultScheme string `yaml:"default_scheme"`
	// ExpectedNodes is how many nodes must be registered before a default scheme is chosen; 0: as soon as one fits.
	// Without it the first few nodes of a new cluster decide the scheme of its first buckets.
	ExpectedNodes int `yaml:"expected_nodes"`
	// SuspectAfter and DownAfter are how long heartbeats may stay away before a node gets no new volumes, and before
	// it counts as down; 0: 3 s and 5 s.
	SuspectAfter time.Duration `yaml:"suspect_after"`
	DownAfter    time.Duration `yaml:"down_after"`
	// VolumeSize is how many logical bytes a volume shall hold, less on small disks; 0: 1 GiB.
	VolumeSize config.Size `yaml:"volume_size"`
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
	if c.DefaultScheme != "" {
		if _, err := erasure.Parse(c.DefaultScheme); err != nil {
			errs = append(errs, fmt.Errorf("default_scheme: %w", err))
		}
	}
	if c.ExpectedNodes < 0 {
		errs = append(errs, fmt.Errorf("expected_nodes: %d is negative", c.ExpectedNodes))
	}
	full := c.withDefaults()
	if full.SuspectAfter < minSuspectAfter {
		errs = append(errs, fmt.Errorf("suspect_after: %v is below %v", full.SuspectAfter, minSuspectAfter))
	}
	if full.DownAfter < full.SuspectAfter {
		errs = append(errs, fmt.Errorf("down_after: %v is below suspect_after, %v", full.DownAfter, full.SuspectAfter))
	}
	if full.VolumeSize < minVolumeSize || full.VolumeSize > maxVolumeSize {
		errs = append(errs, fmt.Errorf("volume_size: %v is not between %v and %v",
			full.VolumeSize, config.Size(minVolumeSize), config.Size(maxVolumeSize)))
	}
	if err := c.Etcd.TLS.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("etcd.tls: %w", err))
	}
	return errors.Join(errs...)
}

// withDefaults puts the defaults in the place of zeros.
func (c Config) withDefaults() Config {
	if c.SuspectAfter == 0 {
		c.SuspectAfter = defaultSuspectAfter
	}
	if c.DownAfter == 0 {
		c.DownAfter = max(defaultDownAfter, c.SuspectAfter)
	}
	if c.VolumeSize == 0 {
		c.VolumeSize = defaultVolumeSize
	}
	return c
}
