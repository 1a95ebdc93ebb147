// Package drystone runs the whole object store in one process: the same services as the mesh, over in-process
// transport, on an embedded etcd, with their data in one folder.
package drystone

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/drystone-store/drystone/services/datapath/erasure"
)

// Defaults of Config, for a fresh data folder.
const (
	DefaultREST    = "127.0.0.1:8080"
	DefaultGRPC    = "127.0.0.1:9090"
	DefaultMetrics = "127.0.0.1:9100"
	DefaultZones   = 3
	DefaultNodes   = 9
	DefaultDisks   = 1
)

// Bounds of Config. The process holds every chunk-server: more of them belong on more machines.
const (
	maxNodes = 64
	maxDisks = 64
)

// Config says what to run. Zero values of the numbers and an empty Scheme mean: as the data folder was laid out, or
// the defaults.
type Config struct {
	// Data is the folder that holds everything.
	Data string
	// REST, GRPC and Metrics are listen addresses, `host:port`. Port 0 takes a free one. Metrics may be empty.
	REST, GRPC, Metrics string
	// Zones, Nodes and Disks (of each node) may only grow on a folder that exists.
	Zones, Nodes, Disks int
	// Scheme of buckets that are made during this run and ask for none, `rs-k-m`; empty: what fits best. One that the
	// topology cannot keep is refused.
	Scheme string
}

// FlagError is a combination of settings that makes no sense, by itself or with what the data folder holds: starting
// again does not help.
type FlagError struct{ error }

// Unwrap implements errors.Unwrap's convention.
func (e FlagError) Unwrap() error { return e.error }

func flagErrorf(format string, args ...any) error { return FlagError{fmt.Errorf(format, args...)} }

// Validate reports everything that is wrong with c by itself, whatever the data folder holds.
func (c Config) Validate() error {
	var errs []error
	if c.Data == "" {
		errs = append(errs, errors.New("--data names no folder"))
	}
	for _, l := range []struct{ flag, address string }{{"rest", c.REST}, {"grpc", c.GRPC}, {"metrics", c.Metrics}} {
		if l.address == "" && l.flag == "metrics" {
			continue
		}
		if _, _, err := net.SplitHostPort(l.address); err != nil {
			errs = append(errs, fmt.Errorf("--%s %q is not host:port: %w", l.flag, l.address, err))
		}
	}
	for _, n := range []struct {
		flag       string
		value, max int
	}{{"zones", c.Zones, maxNodes}, {"nodes", c.Nodes, maxNodes}, {"disks", c.Disks, maxDisks}} {
		if n.value < 0 || n.value > n.max {
			errs = append(errs, fmt.Errorf("--%s %d: between 1 and %d", n.flag, n.value, n.max))
		}
	}
	if c.Scheme != "" {
		if _, err := erasure.Parse(c.Scheme); err != nil {
			errs = append(errs, fmt.Errorf("--scheme: %w", err))
		}
	}
	return errors.Join(errs...)
}

// available refuses addresses that cannot be listened on, before anything is started. Whoever takes one in the moment
// after still makes an error, of the service that listens.
func (c Config) available() (err error) {
	var config net.ListenConfig
	for _, l := range []struct{ flag, address string }{{"rest", c.REST}, {"grpc", c.GRPC}, {"metrics", c.Metrics}} {
		if l.address == "" {
			continue
		}
		listener, failed := config.Listen(context.Background(), "tcp", l.address)
		switch {
		case errors.Is(failed, syscall.EADDRINUSE):
			return fmt.Errorf("%s is in use: end what listens there, or name another address, for example --%s 127.0.0.1:0 "+
				"for any free port", l.address, l.flag)
		case failed != nil:
			return fmt.Errorf("--%s %s: %w", l.flag, l.address, failed)
		}
		defer func() { err = errors.Join(err, listener.Close()) }()
	}
	return nil
}
