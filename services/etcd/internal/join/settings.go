package join

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"net/url"
	"path/filepath"
	"slices"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/pkg/v3/flags"
	"go.etcd.io/etcd/server/v3/embed"
)

// Settings are what joining needs to know.
type Settings struct {
	// Name of this member.
	Name string
	// DataDir and WALDir hold its data.
	DataDir, WALDir string
	// Listen is where it listens for other members; PeerURLs are what they call it by.
	Listen   []url.URL
	PeerURLs []string
	// Cluster are all members as they were planned, this one among them.
	Cluster types.URLsMap
	// PeerTLS is how members know each other.
	PeerTLS transport.TLSInfo
	// Metrics is where etcd will answer probes, and MetricsTLS is with what at https; the waiting room answers there before.
	Metrics    []url.URL
	MetricsTLS transport.TLSInfo

	// Through are client URLs of members, and ThroughTLS is how they know this one; nil for http.
	Through    []string
	ThroughTLS *tls.Config
	// Timeout bounds the waiting of a member without data; 0: nothing does.
	Timeout time.Duration
}

// Parse reads from etcd's arguments and environment what joining needs to know; the rest it only checks as far as etcd's
// own flags do.
func Parse(args []string) (Settings, error) {
	cfg := embed.NewConfig()
	f := flag.NewFlagSet("etcd", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	cfg.AddFlags(f)
	// Those that etcd's command line adds to them.
	configFile := f.String("config-file", "", "")
	for _, name := range []string{"initial-cluster-state", "discovery-fallback", "v2-deprecation"} {
		f.String(name, "", "")
	}
	if err := f.Parse(args); err != nil {
		return Settings{}, fmt.Errorf("etcd's flags: %w", err)
	}
	if f.NArg() > 0 {
		return Settings{}, fmt.Errorf("etcd's flags: %q is none", f.Arg(0))
	}
	if err := flags.SetFlagsFromEnv(nil, "ETCD", f); err != nil {
		return Settings{}, fmt.Errorf("etcd's environment: %w", err)
	}
	if *configFile != "" || cfg.Dir == "" || !flags.IsSet(f, "initial-cluster") {
		return Settings{}, errors.New("--join-through needs --data-dir and --initial-cluster as flags, and no --config-file")
	}
	cluster, err := types.NewURLsMap(cfg.InitialCluster)
	if err != nil {
		return Settings{}, fmt.Errorf("--initial-cluster: %w", err)
	}
	s := Settings{
		Name: cfg.Name, DataDir: cfg.Dir, WALDir: cfg.WalDir, Cluster: cluster, PeerTLS: cfg.PeerTLSInfo,
		Listen:  flags.UniqueURLsFromFlag(f, "listen-peer-urls"),
		Metrics: flags.UniqueURLsFromFlag(f, "listen-metrics-urls"), MetricsTLS: cfg.ClientTLSInfo,
	}
	if s.WALDir == "" {
		s.WALDir = filepath.Join(cfg.Dir, "member", "wal")
	}
	own := types.URLs(flags.UniqueURLsFromFlag(f, "initial-advertise-peer-urls"))
	own.Sort()
	s.PeerURLs = own.StringSlice()
	if !slices.Equal(s.PeerURLs, cluster[cfg.Name].StringSlice()) {
		return Settings{}, fmt.Errorf("--initial-cluster has %v for --name %s, --initial-advertise-peer-urls has %v: they must agree",
			cluster[cfg.Name].StringSlice(), cfg.Name, s.PeerURLs)
	}
	return s, nil
}

// others yields the planned members without this one, in the order of their names.
func (s Settings) others() iter.Seq2[string, []string] {
	return func(yield func(string, []string) bool) {
		names := make([]string, 0, len(s.Cluster))
		for name := range s.Cluster {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			if name != s.Name && !yield(name, s.Cluster[name].StringSlice()) {
				return
			}
		}
	}
}
