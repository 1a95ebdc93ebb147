package join

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

// free is a URL where nobody listens.
func free(t *testing.T, scheme string) url.URL {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return url.URL{Scheme: scheme, Host: l.Addr().String()}
}

// Whoever watches the process sees that it lives; etcd finds the address free.
func TestTheRoomAnswersProbes(t *testing.T) {
	info, err := transport.SelfCert(zap.NewNop(), t.TempDir(), []string{"127.0.0.1:1"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	defer client.CloseIdleConnections()
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			s := plan(t, map[string]string{"a": "http://a:1", "b": "http://127.0.0.1:1"})
			at := free(t, scheme)
			s.Metrics, s.MetricsTLS = []url.URL{at}, info
			r, err := openRoom(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			for path, want := range map[string]int{
				"/livez": http.StatusOK, "/readyz": http.StatusServiceUnavailable, "/health": http.StatusServiceUnavailable, "/metrics": http.StatusNotFound,
			} {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at.String()+path, http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err != nil || resp.StatusCode != want || want != http.StatusNotFound && !strings.Contains(string(body), "waits") {
					t.Errorf("%s: %s %q, %v", path, resp.Status, body, err)
				}
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			l, err := net.Listen("tcp", at.Host)
			if err != nil {
				t.Fatalf("etcd could not listen: %v", err)
			}
			_ = l.Close()
		})
	}
}

func TestARoomThatIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	s := plan(t, map[string]string{"a": "http://a:1"})
	s.Metrics = []url.URL{{Scheme: "http", Host: l.Addr().String()}}
	s.Listen = []url.URL{free(t, "http")}
	if _, err := openRoom(t.Context(), s); err == nil || !strings.Contains(err.Error(), "while waiting") {
		t.Errorf("got %v", err)
	}
	// What it had opened is free again.
	again, err := net.Listen("tcp", s.Listen[0].Host)
	if err != nil {
		t.Fatal(err)
	}
	_ = again.Close()
}

// Without a limit it waits until somebody ends it.
func TestWaitingHasNoEnd(t *testing.T) {
	s := plan(t, map[string]string{"a": "http://a:1", "b": "http://127.0.0.1:1"})
	s.DataDir, s.Timeout = t.TempDir(), 0
	s.WALDir = filepath.Join(s.DataDir, "member", "wal")
	ctx, cancel := context.WithTimeout(t.Context(), 3*askEvery)
	defer cancel()
	if _, err := Join(ctx, s, slog.New(slog.DiscardHandler)); err == nil || ctx.Err() == nil {
		t.Errorf("it ended before: %v", err)
	}
}

// lister is an etcd of some cluster.
type lister struct {
	etcdserverpb.UnimplementedClusterServer
	cluster uint64
}

func (l lister) MemberList(context.Context, *etcdserverpb.MemberListRequest) (*etcdserverpb.MemberListResponse, error) {
	return &etcdserverpb.MemberListResponse{
		Header: &etcdserverpb.ResponseHeader{ClusterId: l.cluster},
		Members: []*etcdserverpb.Member{
			{ID: 1, PeerURLs: []string{"http://a:1"}}, {ID: 2, Name: "b", PeerURLs: []string{"http://b:1"}, ClientURLs: []string{"http://b:2"}},
		},
	}, nil
}

// The cluster that answers clients must be the one that the others know of.
func TestTheClusterThatAnswersIsTheOneThatIsKnown(t *testing.T) {
	for cluster, want := range map[uint64]string{0x1f: "", 0x2f: "the cluster 2f answers at --join-through, and the other members know the cluster 1f"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server := grpc.NewServer()
		etcdserverpb.RegisterClusterServer(server, lister{cluster: cluster})
		done := make(chan error, 1)
		go func() { done <- server.Serve(l) }()

		s := plan(t, map[string]string{"a": "http://a:1", "b": peer(t, etcd("http://b:2"))})
		s.Through = []string{"http://" + l.Addr().String()}
		start, err := newJoiner(t, s).round(t.Context())
		if want == "" && (err != nil || start.State != stateExisting) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%x: %+v, %v", cluster, start, err)
		}
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// No cluster is none of two.
func TestKnown(t *testing.T) {
	said := func(name string, s state, cluster types.ID) view { return view{name: name, state: s, cluster: cluster} }
	for name, tt := range map[string]struct {
		views []view
		want  types.ID
		err   string
	}{
		"nobody":                        {nil, 0, ""},
		"one that is not formed":        {[]view{said("b", forming, 1), said("c", silent, 0)}, 0, ""},
		"one beside one not formed":     {[]view{said("b", forming, 1), said("c", formed, 2)}, 2, ""},
		"two of one":                    {[]view{said("b", formed, 2), said("c", formed, 2)}, 2, ""},
		"two, and what to do":           {[]view{said("b", formed, 1), said("c", formed, 2)}, 0, "delete their volumes"},
		"two, with a silent in between": {[]view{said("b", formed, 1), said("c", silent, 0), said("d", formed, 2)}, 0, "d is of the cluster 2"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := known(tt.views)
			if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %s, %v", got, err)
			}
		})
	}
}
