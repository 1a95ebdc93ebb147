package join

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
)

// plan is a Settings of three members over http, this one a.
func plan(t *testing.T, urls map[string]string) Settings {
	t.Helper()
	listen, err := url.Parse("http://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := Settings{
		Name: "a", PeerURLs: []string{urls["a"]}, Listen: []url.URL{*listen}, Cluster: types.URLsMap{},
		Through: []string{"http://127.0.0.1:1"}, Timeout: time.Minute,
	}
	for name, u := range urls {
		if s.Cluster[name], err = types.NewURLs([]string{u}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestPlace(t *testing.T) {
	s := plan(t, map[string]string{"a": "http://a:1", "b": "http://b:1", "c": "http://c:1"})
	member := func(id uint64, name, peer string, client ...string) *etcdserverpb.Member {
		return &etcdserverpb.Member{ID: id, Name: name, PeerURLs: []string{peer}, ClientURLs: client}
	}
	learner := func(m *etcdserverpb.Member) *etcdserverpb.Member {
		m.IsLearner = true
		return m
	}
	b, c := member(2, "b", "http://b:1", "http://b:2"), member(3, "c", "http://c:1", "http://c:2")
	for name, tt := range map[string]struct {
		members []*etcdserverpb.Member
		want    step
		id      uint64
		err     string
	}{
		"no place":                     {[]*etcdserverpb.Member{b, c}, stepAdd, 0, ""},
		"a place that was just added":  {[]*etcdserverpb.Member{b, c, member(1, "", "http://a:1")}, stepStart, 1, ""},
		"a slow first start":           {[]*etcdserverpb.Member{b, c, member(1, "a", "http://a:1")}, stepStart, 1, ""},
		"its data are lost":            {[]*etcdserverpb.Member{b, c, member(1, "a", "http://a:1", "http://a:2")}, stepRemove, 1, ""},
		"lost, under another name":     {[]*etcdserverpb.Member{b, c, member(1, "x", "http://a:1", "http://a:2")}, stepRemove, 1, ""},
		"added under another URL":      {[]*etcdserverpb.Member{b, c, member(1, "a", "http://x:1")}, stepRemove, 1, ""},
		"a name and a URL of two":      {[]*etcdserverpb.Member{b, member(1, "a", "http://x:1", "http://x:2"), member(4, "", "http://a:1")}, 0, 0, "two members"},
		"all places are somebody's":    {[]*etcdserverpb.Member{b, c, member(4, "d", "http://d:1", "http://d:2")}, 0, 0, "plans 3"},
		"the only one of a new member": {[]*etcdserverpb.Member{b}, stepAdd, 0, ""},
		"a learner's, never started":   {[]*etcdserverpb.Member{b, c, learner(member(1, "", "http://a:1"))}, 0, 0, "member remove 1"},
		"a learner's, that had data":   {[]*etcdserverpb.Member{b, c, learner(member(1, "a", "http://a:1", "http://a:2"))}, 0, 0, "member promote 1"},
		"another's learner":            {[]*etcdserverpb.Member{b, learner(member(3, "c", "http://c:1"))}, stepAdd, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, id, err := place(s, tt.members)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil || got != tt.want || id != tt.id {
				t.Errorf("step %d of %x, %v", got, id, err)
			}
		})
	}
}

func TestInitialClusterNamesEverybody(t *testing.T) {
	s := plan(t, map[string]string{"a": "http://a:1", "b": "http://b:1", "c": "http://c:1"})
	got := initialCluster(s, []*etcdserverpb.Member{
		{ID: 1, PeerURLs: []string{"http://a:1"}},
		{ID: 2, Name: "b", PeerURLs: []string{"http://b:1", "http://b:2"}},
		{ID: 3, PeerURLs: []string{"http://c:1"}}, // added, and not started yet
		{ID: 4, PeerURLs: []string{"http://d:1"}},
	}, 1)
	if diff := cmp.Diff("a=http://a:1,b=http://b:1,b=http://b:2,c=http://c:1,4=http://d:1", got); diff != "" {
		t.Errorf("initial cluster (-want +got):\n%s", diff)
	}
}

// peer is another member that a test plays.
func peer(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	return s.URL
}

func etcd(client ...string) http.HandlerFunc { return etcdOf("1f", client...) }

func etcdOf(cluster string, client ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Etcd-Cluster-ID", cluster)
		_ = json.NewEncoder(w).Encode([]*membership.Member{{
			ID: 2, RaftAttributes: membership.RaftAttributes{PeerURLs: []string{"http://b:1"}},
			Attributes: membership.Attributes{Name: "b", ClientURLs: client},
		}})
	}
}

func waits(name string, seen *string) http.HandlerFunc {
	return waitsWith("ticket of "+name, name, seen)
}

func waitsWith(ticket, name string, seen *string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(waitingHeader, ticket)
		w.Header().Set(nameHeader, name)
		w.Header().Set(seenHeader, *seen)
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func newJoiner(t *testing.T, s Settings) *joiner {
	t.Helper()
	ask, err := newAsker(s)
	if err != nil {
		t.Fatal(err)
	}
	client, err := dial(s)
	if err != nil {
		t.Fatal(err)
	}
	r, err := openRoom(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(r.Close(), client.Close()); err != nil {
			t.Error(err)
		}
	})
	return &joiner{settings: s, log: slog.New(slog.DiscardHandler), asker: ask, client: client, room: r}
}

// A new cluster needs everybody's word.
func TestRounds(t *testing.T) {
	var seen string
	html := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }
	for name, tt := range map[string]struct {
		b, c http.HandlerFunc
		says string // nothing: a new cluster
	}{
		"all wait and have met":         {waits("b", &seen), waits("c", &seen), ""},
		"one has not noticed this one":  {waits("b", &seen), waits("c", new(string)), "c has not noticed"},
		"one is silent":                 {waits("b", &seen), nil, "no answer from c"},
		"one is no etcd":                {html, waits("c", &seen), "no etcd member's answer"},
		"one runs, and was never met":   {waits("b", &seen), etcd(), "c runs with data of its own"},
		"and that may be a first start": {waits("b", &seen), etcd(), "on a FIRST install, and only then"},
		"one knows a cluster":           {etcd("http://b:2"), waits("c", &seen), "ask the cluster"},
		"one of none knows the cluster": {nil, etcd("http://b:2"), "ask the cluster"},
		"both know it":                  {etcd("http://b:2"), etcd("http://b:2"), "ask the cluster"},
		"they know two clusters":        {etcd("http://b:2"), etcdOf("2f", "http://b:2"), "b is of the cluster 1f, and c is of the cluster 2f"},
		"one knows a cluster of no id":  {etcdOf("0", "http://b:2"), waits("c", &seen), "no etcd member's answer"},
		"c's address leads to b":        {waits("b", &seen), waits("b", &seen), `no answer from c (its address leads to a member that calls itself "b")`},
		"b's address leads back":        {waits("a", &seen), waits("c", &seen), `no answer from b (its address leads to a member that calls itself "a")`},
		"one of another age":            {waits("", &seen), waits("c", &seen), `calls itself ""`},
		"one process under two names":   {waitsWith("same", "b", &seen), waitsWith("same", "c", &seen), "b and c lead to one process"},
	} {
		t.Run(name, func(t *testing.T) {
			urls := map[string]string{"a": "http://a:1", "b": "http://127.0.0.1:1", "c": "http://127.0.0.1:1"}
			for name, h := range map[string]http.HandlerFunc{"b": tt.b, "c": tt.c} {
				if h != nil {
					urls[name] = peer(t, h)
				}
			}
			j := newJoiner(t, plan(t, urls))
			seen = "other," + j.room.ticket
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			start, err := j.round(ctx)
			switch {
			case tt.says == "" && (err != nil || start.State != stateNew):
				t.Errorf("got %+v, %v", start, err)
			case tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)):
				t.Errorf("got %+v, %v; want %q", start, err, tt.says)
			}
		})
	}
}

// Who was met waiting has no data, also when it has gone on.
func TestOneThatWasMetMayGoOn(t *testing.T) {
	gone, seen := false, ""
	b := peer(t, func(w http.ResponseWriter, r *http.Request) {
		if gone {
			etcd()(w, r)
			return
		}
		waits("b", &seen)(w, r)
	})
	j := newJoiner(t, plan(t, map[string]string{"a": "http://a:1", "b": b}))
	if _, err := j.round(t.Context()); err == nil {
		t.Error("it went on before it was noticed")
	}
	gone = true
	if start, err := j.round(t.Context()); err != nil || start.State != stateNew {
		t.Errorf("got %+v, %v", start, err)
	}
}

// Two waiting members let each other go on once each has seen the other.
func TestTwoMeet(t *testing.T) {
	s := plan(t, map[string]string{"a": "http://a:1", "b": "http://b:1"})
	a := newJoiner(t, s)
	s.Name = "b"
	b := newJoiner(t, s)
	for name, j := range map[string]*joiner{"a": a, "b": b} {
		s.Cluster[name] = types.MustNewURLs([]string{peer(t, j.room.peers.Handler.ServeHTTP)})
	}
	for i, want := range []bool{false, true} {
		if _, err := a.round(t.Context()); (err == nil) != want {
			t.Errorf("round %d of a: %v", i, err)
		}
		if _, err := b.round(t.Context()); err != nil {
			t.Errorf("round %d of b: %v", i, err)
		}
	}
}

func TestATwinIsNotRemoved(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{"etcd": etcd("http://a:2"), "another that waits": waits("a", new(string))} {
		own := peer(t, h)
		j := newJoiner(t, plan(t, map[string]string{"a": own}))
		if err := j.remove(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "another process answers") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNobodyComes(t *testing.T) {
	s := plan(t, map[string]string{"a": "http://a:1", "b": "http://127.0.0.1:1"})
	s.DataDir = t.TempDir()
	s.WALDir, s.Timeout = filepath.Join(s.DataDir, "member", "wal"), 100*time.Millisecond
	_, err := Join(t.Context(), s, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "no way into the cluster within 100ms") || !strings.Contains(err.Error(), "no answer from b") {
		t.Errorf("got %v", err)
	}
}

func TestALogThatSaysNothing(t *testing.T) {
	dir := t.TempDir()
	if _, err := readIdentity(filepath.Join(dir, "none")); !errors.Is(err, errNoData) {
		t.Errorf("no folder: %v", err)
	}
	if _, err := readIdentity(dir); !errors.Is(err, errNoData) {
		t.Errorf("an empty folder: %v", err)
	}
	for name, data := range map[string][]byte{"empty": nil, "zeros": make([]byte, 4096), "noise": []byte(strings.Repeat("drystone", 512))} {
		if err := os.WriteFile(filepath.Join(dir, "0-0.wal"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readIdentity(dir); err == nil || errors.Is(err, errNoData) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
