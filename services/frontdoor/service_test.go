package frontdoor

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	"github.com/drystone-store/drystone/services/frontdoor/internal/inmemory"
	"github.com/drystone-store/drystone/services/kit/app"
	"github.com/drystone-store/drystone/services/kit/config"
	"github.com/drystone-store/drystone/services/kit/log"
	"github.com/drystone-store/drystone/services/kit/rpc"
)

func TestConfig(t *testing.T) {
	good := `
name: fd-1
rest_listen: 127.0.0.1:0
grpc_listen: 127.0.0.1:0
metadata: [a:1, b:1]
placement: [c:1]
token_file: /token
budgets: {body_memory: 64MiB, max_puts: 10, wait: 2s}
`
	var c Config
	if err := config.Parse([]byte(good), &c); err != nil {
		t.Fatal(err)
	}
	if l := c.Budgets.limits(); l.BodyMemory != 64<<20 || l.Puts != 10 || l.Gets != defaultGets || l.Wait != 2*time.Second {
		t.Fatalf("%+v", l)
	}
	err := Config{RESTListen: "nonsense", Notice: -1, Budgets: Budgets{MaxGets: -1}}.Validate()
	for _, want := range []string{"name", "rest_listen", "metadata", "placement", "token_file", "max_gets", "notice"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}

// granting is a placement that grants terms once it is told to.
type granting struct {
	inmemory.Placement
	grants atomic.Bool
}

func (g *granting) StartTerm(context.Context, *placementv1.StartTermRequest) (*placementv1.StartTermResponse, error) {
	if !g.grants.Load() {
		return nil, status.Error(codes.Unavailable, "not yet")
	}
	return &placementv1.StartTermResponse{Term: 1, LengthMs: 60_000, LeaseMs: 60_000}, nil
}

// The whole service runs against a metadata and a placement in this process, says when it is ready, and stops.
func TestRun(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(testToken), 0o600); err != nil {
		t.Fatal(err)
	}
	registry := rpc.NewRegistry()
	behind := rpc.NewServer(rpc.ServerOptions{Name: "behind"})
	metadatav1.RegisterMetadataServiceServer(behind, &inmemory.Names{})
	placement := &granting{}
	placementv1.RegisterPlacementServiceServer(behind, placement)
	registry.Register("metadata", behind)
	registry.Register("placement", behind)
	env := app.Env{
		Log: log.Discard(), Registry: registry,
		Dialer: rpc.NewDialer(rpc.DialerOptions{Registry: registry, Caller: "frontdoor"}),
	}
	s, err := New(Config{
		Name: "fd-1", RESTListen: "127.0.0.1:0", GRPCListen: "127.0.0.1:0", TokenFile: config.SecretFile(token),
		Metadata: []string{"inproc:metadata"}, Placement: []string{"inproc:placement"},
	}, env)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	w := &world{rest: s.Addrs().REST, client: &http.Client{Transport: &http.Transport{}}}
	if s.Addrs().GRPC == "" || strings.HasSuffix(s.Addrs().REST, ":0") {
		t.Fatalf("%+v", s.Addrs())
	}
	says := func(status int, want string) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			a := w.call(t, "GET", "/readyz", nil)
			if a.status == status && strings.Contains(string(a.body), want) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("/readyz never says %d %s: %d %s", status, want, a.status, a.body)
			}
		}
	}
	says(http.StatusServiceUnavailable, `"metadata":"ok","topology":"ok","writer":"placement has granted no term yet"`)
	placement.grants.Store(true)
	says(http.StatusOK, `"writer":"ok"`)
	if a := w.call(t, "PUT", "/v1/buckets/bbb", nil); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if _, ok := registry.Lookup(Target); !ok {
		t.Error("nobody finds it in this process")
	}
	w.client.CloseIdleConnections()
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if _, ok := registry.Lookup(Target); ok {
		t.Error("it is still found")
	}
}

func TestNotReady(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(testToken), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"no token file":      func(c *Config) { c.TokenFile = "/nowhere" },
		"address in use":     func(c *Config) { c.RESTListen = "256.0.0.1:1" },
		"grpc not available": func(c *Config) { c.GRPCListen = "256.0.0.1:1" },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{
				Name: "fd-1", RESTListen: "127.0.0.1:0", TokenFile: config.SecretFile(token),
				Metadata: []string{"inproc:metadata"}, Placement: []string{"inproc:placement"},
			}
			change(&cfg)
			s, err := New(cfg, app.Env{Log: log.Discard(), Registry: rpc.NewRegistry(), Dialer: rpc.NewDialer(rpc.DialerOptions{})})
			if err == nil {
				err = s.Run(t.Context())
			}
			if err == nil {
				t.Fatal("no error")
			}
		})
	}
}
