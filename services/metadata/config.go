// Package metadata keeps the names: buckets, objects and their versions, in etcd, with a copy of all of them in the
// memory of every replica. It calls nobody but etcd.
package metadata

import (
	"errors"
	"fmt"
	"net"
	"time"
)

const (
	defaultTombstoneRetention = 15 * time.Minute
	defaultWindow             = 10 * time.Minute
	// minWindow is longer than any caller of Commit tries: below it, tries would end in OUTCOME_UNKNOWN.
	minWindow = time.Minute
	// maxWindow bounds etcd's history, which is kept for longer than the window.
	maxWindow = 24 * time.Hour
)

// Config configures a metadata replica. It has no secrets, only paths of them; zero values are usable except for the name.
type Config struct {
	// Name of this replica, in logs, in the rows that tell who wrote last, and for its choice of an etcd member.
	Name string `yaml:"name"`
	// Listen is the gRPC address, `host:port`; empty: in process only.
	Listen string `yaml:"listen"`
	// Etcd is where drystone-metadata finds etcd. New takes a client instead.
	Etcd Etcd `yaml:"etcd"`
	// TombstoneRetention is how long deleted names leave a tombstone, at least the window; 0: 15 m.
	TombstoneRetention time.Duration `yaml:"tombstone_retention"`
	// Window is how long commits are remembered, so that a later try is recognized; 0: 10 m. About 150 bytes a commit,
	// 262,144 commits at most.
	Window time.Duration `yaml:"window"`
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
	full := c.withDefaults()
	if full.Window < minWindow || full.Window > maxWindow {
		errs = append(errs, fmt.Errorf("window: %v is not between %v and %v", full.Window, minWindow, maxWindow))
	}
	if full.TombstoneRetention < full.Window {
		errs = append(errs, fmt.Errorf("tombstone_retention: %v is below window, %v: a delete tried again would find no tombstone",
			full.TombstoneRetention, full.Window))
	}
	if c.Etcd.DialTimeout < 0 {
		errs = append(errs, fmt.Errorf("etcd.dial_timeout: %v is negative", c.Etcd.DialTimeout))
	}
	if err := c.Etcd.TLS.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("etcd.tls: %w", err))
	}
	return errors.Join(errs...)
}

// withDefaults puts the defaults in the place of zeros.
func (c Config) withDefaults() Config {
	if c.Window == 0 {
		c.Window = defaultWindow
	}
	if c.TombstoneRetention == 0 {
		c.TombstoneRetention = max(defaultTombstoneRetention, c.Window)
	}
	return c
}
