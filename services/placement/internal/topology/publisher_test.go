package topology

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/placement/internal/policy"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// house is nodes and a map on memory.
type house struct {
	mu      sync.Mutex
	loaded  bool
	nodes   []*placementv1.Node
	columns map[string]uint64
	open    int64

	nodesChanged, mapChanged chan struct{}
}

func newHouse(zones ...int) *house {
	h := &house{loaded: true, nodesChanged: make(chan struct{}, 1), mapChanged: make(chan struct{}, 1)}
	for z, nodes := range zones {
		for n := range nodes {
			h.nodes = append(h.nodes, &placementv1.Node{
				Place: &typesv1.Place{Zone: fmt.Sprintf("z%d", z), Node: fmt.Sprintf("z%dn%d", z, n)},
				State: placementv1.NodeState_NODE_STATE_UP,
				Disks: []*placementv1.Disk{{
					Id:    fmt.Sprintf("z%dn%d-0", z, n),
					State: placementv1.DiskState_DISK_STATE_OK, CapacityBytes: 1 << 40, FreeBytes: 1 << 40,
				}},
			})
		}
	}
	return h
}

type members struct{ *house }

func (h members) Nodes() ([]*placementv1.Node, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	copies := make([]*placementv1.Node, len(h.nodes))
	for i, n := range h.nodes {
		copies[i] = proto.CloneOf(n)
	}
	return copies, true
}

func (h members) Changed() <-chan struct{} { return h.nodesChanged }

type volumes struct{ *house }

func (h volumes) Cluster() (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.loaded {
		return "", errors.New("not loaded")
	}
	return "c", nil
}

func (h volumes) Counts() *placementv1.VolumeCounts {
	h.mu.Lock()
	defer h.mu.Unlock()
	return &placementv1.VolumeCounts{Open: h.open}
}

func (h volumes) Columns() map[string]uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.columns
}

func (h volumes) Changed() <-chan struct{} { return h.mapChanged }

// change changes the house and says so to one of its two listeners.
func (h *house) change(tell chan struct{}, f func()) {
	h.mu.Lock()
	f()
	h.mu.Unlock()
	select {
	case tell <- struct{}{}:
	default:
	}
}

func publisher(t *testing.T, h *house, o Options) *Publisher {
	t.Helper()
	o.Log = slog.New(slog.DiscardHandler)
	p, err := New(members{h}, volumes{h}, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func run(t *testing.T, p *Publisher) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

func latest(t *testing.T, p *Publisher) *placementv1.Topology {
	t.Helper()
	topology, _ := p.Latest()
	if topology == nil {
		t.Fatal("nothing was published")
	}
	return topology
}

func TestPublishesAtOnceWhatMatters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(3, 3, 3)
		h.loaded = false
		p := publisher(t, h, Options{})
		run(t, p)
		h.change(h.nodesChanged, func() {})
		synctest.Wait()
		if topology, _ := p.Latest(); topology != nil {
			t.Fatal("published before the state is loaded")
		}
		time.Sleep(publishEvery)
		h.change(h.mapChanged, func() { h.loaded = true })
		synctest.Wait()
		first, next := p.Latest()
		if first.GetClusterId() != "c" || len(first.GetNodes()) != 9 || first.GetVersion() != 1 {
			t.Fatalf("first: %v", first)
		}
		time.Sleep(publishEvery)
		h.change(h.nodesChanged, func() { h.nodes[4].State = placementv1.NodeState_NODE_STATE_DOWN })
		synctest.Wait()
		select {
		case <-next:
		default:
			t.Error("the watchers were not told")
		}
		if second := latest(t, p); second.GetVersion() != 2 || second.GetNodes()[4].GetState() != placementv1.NodeState_NODE_STATE_DOWN {
			t.Errorf("second: %v", second)
		}
	})
}

func TestPublishesAtMostTwentyTimesASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(3, 3, 3)
		p := publisher(t, h, Options{})
		run(t, p)
		for i := range 1000 {
			h.change(h.nodesChanged, func() { h.nodes[0].Address = strconv.Itoa(i) })
			time.Sleep(time.Millisecond)
		}
		time.Sleep(publishEvery)
		synctest.Wait()
		got := latest(t, p)
		if got.GetVersion() > 22 || got.GetVersion() < 15 {
			t.Errorf("%d pictures in a second", got.GetVersion())
		}
		if got.GetNodes()[0].GetAddress() != "999" {
			t.Errorf("the last change is not in the last picture: %s", got.GetNodes()[0].GetAddress())
		}
	})
}

func TestFiguresWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(3, 3, 3)
		p := publisher(t, h, Options{})
		run(t, p)
		h.change(h.nodesChanged, func() {})
		synctest.Wait()
		for i := range 10 {
			time.Sleep(100 * time.Millisecond)
			h.change(h.mapChanged, func() { h.open, h.nodes[0].Disks[0].FreeBytes = int64(i+1), uint64(i) })
		}
		synctest.Wait()
		if v := latest(t, p).GetVersion(); v != 1 {
			t.Errorf("figures alone were published %d times in a second", v-1)
		}
		time.Sleep(figuresEvery)
		synctest.Wait()
		got := latest(t, p)
		if got.GetVersion() != 2 || got.GetVolumes().GetOpen() != 10 || got.GetNodes()[0].GetDisks()[0].GetFreeBytes() != 9 {
			t.Errorf("after %v: version %d, %v", figuresEvery, got.GetVersion(), got.GetVolumes())
		}
		time.Sleep(2 * figuresEvery)
		synctest.Wait()
		if v := latest(t, p).GetVersion(); v != 2 {
			t.Errorf("nothing changed, version %d", v)
		}
	})
}

func TestSchemes(t *testing.T) {
	down := func(nodes ...int) func(*house) {
		return func(h *house) {
			for _, n := range nodes {
				h.nodes[n].State = placementv1.NodeState_NODE_STATE_DOWN
			}
		}
	}
	none := func(*house) {}
	for _, c := range []struct {
		name    string
		house   *house
		options Options
		outage  func(*house)
		want    string // default, write scheme, floor
	}{
		{"nine nodes", newHouse(3, 3, 3), Options{}, none, "rs-5-4 rs-5-4 one zone and one disk"},
		{"a node down", newHouse(3, 3, 3), Options{}, down(0), "rs-5-4 rs-4-4 one zone and one disk"},
		{"a zone down", newHouse(3, 3, 3), Options{}, down(0, 1, 2), "rs-5-4 rs-2-4 one zone and one disk"},
		{"one node each in two zones", newHouse(3, 3, 3), Options{}, down(0, 1, 2, 3, 4, 6, 7), "rs-5-4 none one zone and one disk"},
		{"configured", newHouse(2, 2, 2), Options{DefaultScheme: erasure.Scheme{K: 4, M: 2}}, none, "rs-4-2 rs-4-2 one zone"},
		{"configured, does not fit", newHouse(2, 2, 2), Options{DefaultScheme: erasure.Scheme{K: 5, M: 4}}, none, "none none "},
		{"some nodes are still expected", newHouse(2, 2, 2), Options{ExpectedNodes: 9}, none, "none none "},
		{"all that were expected", newHouse(3, 3, 3), Options{ExpectedNodes: 9}, none, "rs-5-4 rs-5-4 one zone and one disk"},
		{"one node", newHouse(1), Options{}, none, "none none "},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.outage(c.house)
			p := publisher(t, c.house, c.options)
			p.refresh(false)
			got := latest(t, p)
			text := func(s *typesv1.Scheme) string {
				scheme, err := erasure.FromProto(s)
				if err != nil {
					return "none"
				}
				return scheme.String()
			}
			if now := text(got.GetDefaultScheme()) + " " + text(got.GetWriteScheme()) + " " + got.GetFloor(); now != c.want {
				t.Errorf("got %s, want %s", now, c.want)
			}
		})
	}
}

func TestMisfitIsToldOnce(t *testing.T) {
	h := newHouse(1)
	var log strings.Builder
	p := publisher(t, h, Options{DefaultScheme: erasure.Scheme{K: 5, M: 4}, ExpectedNodes: 2})
	p.options.Log = slog.New(slog.NewTextHandler(&log, nil))
	p.refresh(false)
	if log.Len() > 0 {
		t.Errorf("told before all nodes came: %s", log.String())
	}
	h.nodes = newHouse(2).nodes
	p.refresh(false)
	p.refresh(false)
	if n := strings.Count(log.String(), "rs-5-4 needs 9 distinct disks; 2 are registered"); n != 1 {
		t.Errorf("told %d times: %s", n, log.String())
	}
}

func TestHealth(t *testing.T) {
	const up, suspect, down = placementv1.NodeState_NODE_STATE_UP, placementv1.NodeState_NODE_STATE_SUSPECT, placementv1.NodeState_NODE_STATE_DOWN
	for _, c := range []struct {
		node   placementv1.NodeState
		disk   placementv1.DiskState
		barred bool
		want   policy.Health
	}{
		{up, placementv1.DiskState_DISK_STATE_OK, false, policy.Usable},
		{up, placementv1.DiskState_DISK_STATE_OK, true, policy.Reserved},
		{up, placementv1.DiskState_DISK_STATE_FULL, false, policy.Reserved},
		{up, placementv1.DiskState_DISK_STATE_READ_ONLY, false, policy.Reserved},
		{up, placementv1.DiskState_DISK_STATE_UNSPECIFIED, false, policy.Reserved},
		{up, placementv1.DiskState_DISK_STATE_FAILED, false, policy.Lost},
		{up, placementv1.DiskState_DISK_STATE_MISSING, false, policy.Lost},
		{suspect, placementv1.DiskState_DISK_STATE_OK, false, policy.Reserved},
		{suspect, placementv1.DiskState_DISK_STATE_FAILED, false, policy.Lost},
		{down, placementv1.DiskState_DISK_STATE_OK, false, policy.Unreachable},
		{down, placementv1.DiskState_DISK_STATE_MISSING, false, policy.Lost},
	} {
		if got := health(c.node, &placementv1.Disk{State: c.disk, Barred: c.barred}); got != c.want {
			t.Errorf("%v, %v, barred %v: health %d, want %d", c.node, c.disk, c.barred, got, c.want)
		}
	}
}

func TestSnapshotCountsColumnsOfTheMap(t *testing.T) {
	h := newHouse(1)
	h.nodes[0].Disks[0].Chunks = 3
	h.columns = map[string]uint64{"z0n0-0": 7}
	if got := publisher(t, h, Options{}).disks(h.nodes)[0].Chunks; got != 7 {
		t.Errorf("%d chunks, want 7", got)
	}
}

// TestFirstNodesAreNoMeasure: while expected nodes are missing the picture is not settled, for a while.
func TestFirstNodesAreNoMeasure(t *testing.T) {
	cases := map[string]struct {
		house   *house
		age     time.Duration
		settled bool
	}{
		"some missing, just started":      {newHouse(3, 3, 1), 0, false},
		"some missing, not for much more": {newHouse(3, 3, 1), gatherPatience - time.Second, false},
		"some missing for good":           {newHouse(3, 3, 1), gatherPatience, true},
		"all there":                       {newHouse(3, 3, 3), 0, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := publisher(t, c.house, Options{ExpectedNodes: 9})
				time.Sleep(c.age)
				if _, settled := p.Snapshot(); settled != c.settled {
					t.Errorf("settled %v, want %v", settled, c.settled)
				}
			})
		})
	}
}

// TestForgivingIgnoresReports: bars count for Snapshot and not for Forgiving; what heartbeats say counts for both.
func TestForgivingIgnoresReports(t *testing.T) {
	h := newHouse(3, 3, 3)
	h.nodes[0].GetDisks()[0].Barred = true
	h.nodes[1].State = placementv1.NodeState_NODE_STATE_DOWN
	p := publisher(t, h, Options{})
	strict, _ := p.Snapshot()
	if got := strict.Healthy().Nodes(); got != 7 {
		t.Errorf("%d usable nodes with the bar, want 7", got)
	}
	if got := p.Forgiving().Healthy().Nodes(); got != 8 {
		t.Errorf("%d usable nodes without it, want 8", got)
	}
}
