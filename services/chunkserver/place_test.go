package chunkserver

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drystone-store/drystone/services/kit/kube"
	"github.com/drystone-store/drystone/services/kit/kube/kubetest"
)

// lines is a log that is read while it is written.
type lines struct {
	mu  sync.Mutex
	out bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.String()
}

func TestPlaceByLabels(t *testing.T) {
	labels := map[string]string{kube.LabelZone: "z1", "example.com/hall": "h1", "example.com/rack": "r7"}
	for _, tt := range []struct {
		name   string
		place  Place
		labels map[string]string
		want   []string // zone and rack; none: an error
	}{
		{"the usual labels", Place{Node: "w1"}, labels, []string{"z1", "w1"}},
		{"the labels win", Place{Node: "w1", Zone: "z0", Rack: "r0", RackLabel: "example.com/rack"}, labels, []string{"z1", "r7"}},
		{"labels of one's own", Place{Node: "w1", ZoneLabel: "example.com/hall", RackLabel: "example.com/rack"}, labels, []string{"h1", "r7"}},
		{"no labels", Place{Node: "w1", Zone: "z0", Rack: "r0", RackLabel: "example.com/rack"}, nil, []string{"z0", "r0"}},
		{"the rack's label is not asked for", Place{Node: "w1", Rack: "r0"}, labels, []string{"z1", "r0"}},
		{"a rack's label that is not there", Place{Node: "w1", RackLabel: "x"}, labels, []string{"z1", "w1"}},
		{"no zone at all", Place{Node: "w1", ZoneLabel: "x"}, labels, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			zone, rack, err := tt.place.by(tt.labels)
			if len(tt.want) == 0 {
				if err == nil || !strings.Contains(err.Error(), "no label x") {
					t.Errorf("got %v", err)
				}
				return
			}
			if diff := cmp.Diff(tt.want, []string{zone, rack}); err != nil || diff != "" {
				t.Errorf("place (-want +got), %v:\n%s", err, diff)
			}
		})
	}
}

// A node asks the API where it stands, is not ready until it knows, and registers there.
func TestPlaceOfTheNode(t *testing.T) {
	env, p := mesh(t)
	var log lines
	env.Log = slog.New(slog.NewTextHandler(&log, nil))
	api := kubetest.Start(t)
	cfg := example(t)
	s, err := New(cfg, env)
	if err != nil {
		t.Fatal(err)
	}
	s.config.Place = Place{Node: "worker-1", Zone: ""}
	s.kube = api.Client(t)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	wait := func(what string, is func() bool) {
		t.Helper()
		for timeout := time.After(20 * time.Second); !is(); {
			select {
			case <-time.After(5 * time.Millisecond):
			case <-timeout:
				t.Fatalf("%s: never\n%s", what, &log)
			}
		}
	}
	wait("a Node that is not there is told", func() bool { return strings.Contains(log.String(), "not found") })
	if p.node("node-1") != nil || env.Registry.Ready() == nil {
		t.Error("it is ready without a place")
	}
	api.PutNode("worker-1", map[string]string{kube.LabelZone: "zone-a"})
	wait("it registers", func() bool { return p.node("node-1") != nil && env.Registry.Ready() == nil })
	if place := p.node("node-1").GetPlace(); place.GetZone() != "zone-a" || place.GetRack() != "worker-1" {
		t.Errorf("it registered as %v", place)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestPlaceNeedsARight(t *testing.T) {
	env, _ := mesh(t)
	var log lines
	env.Log = slog.New(slog.NewTextHandler(&log, nil))
	api := kubetest.Start(t)
	api.Deny("get nodes")
	s, err := New(example(t), env)
	if err != nil {
		t.Fatal(err)
	}
	s.config.Place, s.kube = Place{Node: "worker-1"}, api.Client(t)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, _, ok := s.place(ctx); ok {
		t.Error("a place was found")
	}
	for _, part := range []string{"needs a ClusterRole with the verb get on nodes", "system:serviceaccount"} {
		if !strings.Contains(log.String(), part) {
			t.Errorf("no %q in the log:\n%s", part, &log)
		}
	}
	if err := s.closeConns(); err != nil {
		t.Error(err)
	}
}

// away is an API that answers after a while.
type away struct{ until time.Time }

func (a away) Node(ctx context.Context, name string) (kube.Node, error) {
	if time.Now().Before(a.until) {
		<-ctx.Done() // as when packets are lost, for as long as the client has patience
		return kube.Node{}, ctx.Err()
	}
	return kube.Node{Name: name, Labels: map[string]string{kube.LabelZone: "z"}}, nil
}

func TestPlaceWhenTheAPIIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Service{config: Config{Place: Place{Node: "w"}}, log: slog.New(slog.DiscardHandler)}
		begin := time.Now()
		s.kube = patient{away{begin.Add(time.Minute)}}
		if zone, rack, ok := s.place(t.Context()); !ok || zone != "z" || rack != "w" {
			t.Errorf("%q, %q, %v", zone, rack, ok)
		}
		if took := time.Since(begin); took > 2*time.Minute {
			t.Errorf("it took %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s.kube = patient{away{time.Now().Add(time.Hour)}}
		if _, _, ok := s.place(ctx); ok {
			t.Error("a place was found")
		}
	})
}

// patient has the client's bound on a call.
type patient struct{ away }

func (p patient) Node(ctx context.Context, name string) (kube.Node, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return p.away.Node(ctx, name)
}

func TestPlaceIsValidated(t *testing.T) {
	for name, tt := range map[string]struct {
		place Place
		errs  int
	}{
		"a zone":                {Place{Zone: "z"}, 0},
		"a Node":                {Place{Node: "w"}, 0},
		"neither":               {Place{Rack: "r"}, 1},
		"labels without a Node": {Place{Zone: "z", RackLabel: "l"}, 1},
		"labels of nothing":     {Place{ZoneLabel: "l"}, 2},
	} {
		if got := tt.place.validate(); len(got) != tt.errs {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestPlaceOutsideOfACluster(t *testing.T) {
	env, _ := mesh(t)
	cfg := example(t)
	cfg.Place = Place{Node: "w"}
	if _, err := New(cfg, env); err == nil || !strings.Contains(err.Error(), "place.node: ") {
		t.Errorf("got %v", err)
	}
}
