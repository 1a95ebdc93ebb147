package chunkserver

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/drystone-store/drystone/services/kit/config"
)

const (
	// maxDisks of a node: the largest chassis have about a hundred.
	maxDisks = 128

	scrubIntervalDefault = 7 * 24 * time.Hour
	// scrubRateDefault takes 1 % of a fast disk and reads a disk of 10 TiB in six days.
	scrubRateDefault = 20 << 20
)

// Config is a chunk-server's configuration. The zero value of every field has a meaning.
type Config struct {
	// Name is the node's name, unique in the cluster; it is needed.
	Name string `yaml:"name"`
	// Listen is host:port of the gRPC server; empty: reached in this process only.
	Listen string `yaml:"listen"`
	// Socket is the path of a unix socket that is listened on, too: peers on this host use it. Empty: none.
	Socket string `yaml:"socket"`
	// Advertise is the target that peers dial; empty: Listen's address, or "inproc:<name>".
	Advertise string `yaml:"advertise"`
	// Place is where the node stands; the zone is needed, or the Kubernetes Node that knows it.
	Place Place `yaml:"place"`
	// Disks are the paths of data folders, one on each disk; at least one.
	Disks []string `yaml:"disks"`
	// Placement are the targets of all placement replicas; at least one.
	Placement []string `yaml:"placement"`
	// NoFormat refuses folders that are not formatted: set it where a disk that is not mounted must not be taken for a
	// new one.
	NoFormat bool `yaml:"no_format"`
	// Scrub says how bytes at rest are verified.
	Scrub Scrub `yaml:"scrub"`
}

// Scrub configures verification.
type Scrub struct {
	// Interval is the time within which every chunk is verified; 0: a week.
	Interval time.Duration `yaml:"interval"`
	// Rate is what each disk is read with, in bytes a second; 0: 20 MiB.
	Rate config.Size `yaml:"rate"`
}

// Validate reports everything that is wrong.
func (c Config) Validate() error {
	var errs []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	need(c.Name != "", "name: it is needed")
	errs = append(errs, c.Place.validate()...)
	need(len(c.Placement) > 0, "placement: at least one target is needed")
	need(len(c.Disks) > 0 && len(c.Disks) <= maxDisks, "disks: 1 to %d paths are needed, %d are given", maxDisks, len(c.Disks))
	seen := map[string]bool{}
	for _, d := range c.Disks {
		need(d != "" && !seen[filepath.Clean(d)], "disks: %q is empty or given twice", d)
		seen[filepath.Clean(d)] = true
	}
	if c.Listen != "" {
		if _, _, err := net.SplitHostPort(c.Listen); err != nil {
			errs = append(errs, fmt.Errorf("listen: %w", err))
		}
	}
	need(c.Socket == "" || filepath.IsAbs(c.Socket), "socket: %q is not an absolute path", c.Socket)
	need(c.Socket == "" || c.Listen != "", "socket: needs listen, for peers on other hosts")
	need(c.Scrub.Interval >= 0, "scrub.interval: %v is negative", c.Scrub.Interval)
	need(c.Scrub.Rate >= 0, "scrub.rate: %v is negative", c.Scrub.Rate)
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	if c.Scrub.Interval == 0 {
		c.Scrub.Interval = scrubIntervalDefault
	}
	if c.Scrub.Rate == 0 {
		c.Scrub.Rate = scrubRateDefault
	}
	return c
}
