package drystone

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/drystone-store/drystone/services/drystone/internal/datadir"
)

// shape sums a topology up: nodes in each zone, then disks of each node.
func shape(t Topology) string {
	zones := map[string]int{}
	var order []string
	for _, n := range t.Nodes {
		if zones[n.Zone] == 0 {
			order = append(order, n.Zone)
		}
		zones[n.Zone]++
	}
	var b strings.Builder
	for _, z := range order {
		fmt.Fprintf(&b, "%s:%d ", z, zones[z])
	}
	fmt.Fprintf(&b, "x%d", t.disks())
	return strings.TrimSpace(b.String())
}

func TestPlan(t *testing.T) {
	old := func(c Config) Topology {
		topology, err := plan(Topology{}, c)
		if err != nil {
			t.Fatal(err)
		}
		return topology
	}
	nine := old(Config{})
	for _, c := range []struct {
		name   string
		old    Topology
		config Config
		want   string
		err    string
	}{
		{name: "defaults", want: "z1:3 z2:3 z3:3 x1"},
		{name: "smaller", config: Config{Zones: 3, Nodes: 6}, want: "z1:2 z2:2 z3:2 x1"},
		{name: "two nodes", config: Config{Nodes: 2}, want: "z1:1 z2:1 x1"},
		{name: "uneven", config: Config{Nodes: 4, Disks: 3}, want: "z1:2 z2:1 z3:1 x3"},
		{name: "one zone", config: Config{Zones: 1}, want: "z1:9 x1"},
		{name: "fewer nodes than zones", config: Config{Nodes: 2, Zones: 3}, err: "at least as many nodes"},
		{name: "as it was", old: old(Config{Nodes: 6, Zones: 2, Disks: 2}), want: "z1:3 z2:3 x2"},
		{name: "as it was, said again", old: nine, config: Config{Nodes: 9, Zones: 3, Disks: 1}, want: "z1:3 z2:3 z3:3 x1"},
		{name: "more nodes", old: nine, config: Config{Nodes: 11}, want: "z1:4 z2:4 z3:3 x1"},
		{name: "more zones", old: nine, config: Config{Nodes: 12, Zones: 4}, want: "z1:3 z2:3 z3:3 z4:3 x1"},
		{name: "more disks", old: nine, config: Config{Disks: 2}, want: "z1:3 z2:3 z3:3 x2"},
		{name: "fewer nodes", old: nine, config: Config{Nodes: 6}, err: "has 9 nodes and --nodes says 6"},
		{name: "fewer zones", old: nine, config: Config{Zones: 2}, err: "has 3 zones and --zones says 2"},
		{name: "fewer disks", old: old(Config{Disks: 2}), config: Config{Disks: 1}, err: "has 2 disks a node"},
		{name: "more zones without nodes for them", old: nine, config: Config{Zones: 4}, err: "no node may move"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := plan(c.old, c.config)
			if c.err != "" {
				var flag FlagError
				if !errors.As(err, &flag) || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("%v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if s := shape(got); s != c.want {
				t.Errorf("%s, want %s", s, c.want)
			}
		})
	}
}

func TestSchemesAreJudgedByWhatIsLaidOut(t *testing.T) {
	for _, c := range []struct {
		name   string
		config Config
		scheme string
		err    []string // parts of it; none: it fits
	}{
		{name: "what fits best", scheme: ""},
		{name: "one that fits", scheme: "rs-4-2"},
		{name: "many disks", config: Config{Disks: 2}, scheme: "rs-8-4"},
		{name: "too wide", scheme: "rs-8-4", err: []string{
			"--scheme rs-8-4 does not fit 9 nodes in 3 zones: rs-8-4 needs 12 distinct disks; 9 are registered",
			"Leave --scheme out for rs-5-4",
		}},
		{name: "a node would be fatal", config: Config{Nodes: 3, Disks: 4}, scheme: "rs-8-2", err: []string{"would lie on node", "out for rs-"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			topology, err := plan(Topology{}, c.config)
			if err != nil {
				t.Fatal(err)
			}
			err = topology.judge(c.scheme)
			var flag FlagError
			if errors.As(err, &flag) != (len(c.err) > 0) {
				t.Fatal(err)
			}
			for _, part := range c.err {
				if strings.Count(err.Error(), part) != 1 || strings.Contains(err.Error(), "rpc error") {
					t.Errorf("%v, want %q once", err, part)
				}
			}
		})
	}
}

// TestGrowingMovesNothing: whatever is asked for, a node that exists keeps its name and place, or the plan is refused.
func TestGrowingMovesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func() Config {
			return Config{
				Nodes: rapid.IntRange(0, 12).Draw(t, "nodes"), Zones: rapid.IntRange(0, 4).Draw(t, "zones"),
				Disks: rapid.IntRange(0, 3).Draw(t, "disks"),
			}
		}
		was := Topology{}
		for range 4 {
			is, err := plan(was, draw())
			if err != nil {
				continue
			}
			for i, n := range was.Nodes {
				moved := is.Nodes[i]
				if moved.Disks < n.Disks {
					t.Fatalf("a disk of %+v is gone: %+v", n, moved)
				}
				moved.Disks = n.Disks
				if moved != n {
					t.Fatalf("%+v became %+v", n, moved)
				}
			}
			names := map[string]bool{}
			for _, n := range is.Nodes {
				if names[n.Name] || n.Zone == "" || n.Rack == "" || n.Disks < 1 {
					t.Fatalf("node %+v in %+v", n, is)
				}
				names[n.Name] = true
			}
			was = is
		}
	})
}

func TestTopologyIsKept(t *testing.T) {
	dir := datadir.At(t.TempDir())
	if got, err := loadTopology(dir); err != nil || len(got.Nodes) != 0 {
		t.Errorf("of a fresh folder: %+v, %v", got, err)
	}
	want, err := plan(Topology{}, Config{Nodes: 4})
	if err != nil {
		t.Fatal(err)
	}
	if err := saveTopology(dir, want); err != nil {
		t.Fatal(err)
	}
	got, err := loadTopology(dir)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if err := dir.WriteFile(topologyFile, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadTopology(dir); err == nil {
		t.Error("a torn file was read")
	}
}

func TestConfigValidate(t *testing.T) {
	fine := Config{Data: "d", REST: "127.0.0.1:0", GRPC: ":0", Metrics: ""}
	for _, c := range []struct {
		name   string
		change func(*Config)
		err    string
	}{
		{name: "fine", change: func(*Config) {}},
		{name: "no data", change: func(c *Config) { c.Data = "" }, err: "--data"},
		{name: "rest", change: func(c *Config) { c.REST = "8080" }, err: "--rest"},
		{name: "grpc", change: func(c *Config) { c.GRPC = "" }, err: "--grpc"},
		{name: "metrics", change: func(c *Config) { c.Metrics = "x" }, err: "--metrics"},
		{name: "nodes", change: func(c *Config) { c.Nodes = 1000 }, err: "--nodes"},
		{name: "zones", change: func(c *Config) { c.Zones = -1 }, err: "--zones"},
		{name: "disks", change: func(c *Config) { c.Disks = 1000 }, err: "--disks"},
		{name: "scheme", change: func(c *Config) { c.Scheme = "raid5" }, err: "--scheme"},
		{name: "all at once", change: func(c *Config) { c.Data, c.REST = "", "" }, err: "--rest"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := fine
			c.change(&config)
			err := config.Validate()
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("%v, want %q", err, c.err)
			}
		})
	}
}
