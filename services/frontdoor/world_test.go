package frontdoor

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	"github.com/drystone-store/drystone/services/datapath/nodes"
	"github.com/drystone-store/drystone/services/frontdoor/internal/auth"
	"github.com/drystone-store/drystone/services/frontdoor/internal/inmemory"
	"github.com/drystone-store/drystone/services/frontdoor/internal/object"
	"github.com/drystone-store/drystone/services/frontdoor/internal/rest"
	"github.com/drystone-store/drystone/services/kit/app"
	"github.com/drystone-store/drystone/services/kit/log"
	"github.com/drystone-store/drystone/services/kit/rpc"
)

func TestMain(m *testing.M) {
	log.QuietLibraries() // as main does
	goleak.VerifyTestMain(m)
}

const testToken = "0123456789abcdef-token"

// world is a front over names and volumes in memory, on real listeners.
type world struct {
	names   *inmemory.Names
	volumes *inmemory.Volumes
	rest    string // host:port
	grpc    *grpc.ClientConn
	client  *http.Client
	logs    *syncBuffer
	stop    func() // in good order; it happens at the test's end, too
}

// worldOptions change what a world is made of.
type worldOptions struct {
	budgets Budgets
	// commits sees every request to metadata before it is served, and may refuse it.
	metadata grpc.UnaryServerInterceptor
	writer   object.Writer
	reader   object.Reader
	ready    func() []rest.Check
	level    slog.Level
	notice   time.Duration
	// beside has the names and volumes that this world shares.
	beside *world
}

func newWorld(t testing.TB, o worldOptions) *world {
	t.Helper()
	w := &world{names: &inmemory.Names{}, volumes: &inmemory.Volumes{}, logs: &syncBuffer{}}
	if o.beside != nil {
		w.names, w.volumes = o.beside.names, o.beside.volumes
	}
	ctx, cancel := context.WithCancel(context.Background()) // of what the servers stand on
	serving, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	start := func(run func() error) {
		running.Go(func() {
			if err := run(); err != nil {
				t.Errorf("background: %v", err)
			}
		})
	}
	var servers sync.WaitGroup
	w.stop = sync.OnceFunc(func() {
		stop()
		servers.Wait()
		cancel()
		running.Wait()
	})
	t.Cleanup(func() {
		w.client.CloseIdleConnections()
		_ = w.grpc.Close()
		w.stop()
	})
	behind := rpc.NewServer(rpc.ServerOptions{Name: "behind"})
	if o.metadata != nil {
		behind = rpc.NewServer(rpc.ServerOptions{Name: "behind", Unary: []grpc.UnaryServerInterceptor{o.metadata}})
	}
	metadatav1.RegisterMetadataServiceServer(behind, w.names)
	placementv1.RegisterPlacementServiceServer(behind, &inmemory.Placement{})
	placement := placementv1.NewPlacementServiceClient(behind.InProcess())
	topology := nodes.NewTopology(placement, log.Discard())
	start(func() error { return topology.Run(ctx) })
	if err := topology.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	m := mesh{
		metadata: metadatav1.NewMetadataServiceClient(behind.InProcess()), placement: placement, topology: topology,
		writer: w.volumes, reader: w.volumes, ready: func() []rest.Check { return nil },
	}
	if o.writer != nil {
		m.writer = o.writer
	}
	if o.reader != nil {
		m.reader = o.reader
	}
	if o.ready != nil {
		m.ready = o.ready
	}
	authenticator, err := auth.New(testToken)
	if err != nil {
		t.Fatal(err)
	}
	f, err := newFront(Config{Budgets: o.budgets, Notice: o.notice}, app.Env{Log: log.New(w.logs, "frontdoor", o.level)}, authenticator, m)
	if err != nil {
		t.Fatal(err)
	}
	restListener, grpcListener := listen(t), listen(t)
	w.rest = restListener.Addr().String()
	start(func() error { return f.run(ctx) })
	servers.Go(func() {
		if err := f.serve(serving, []net.Listener{restListener}, []net.Listener{grpcListener}); err != nil {
			t.Errorf("servers: %v", err)
		}
	})
	w.client = &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}}
	if w.grpc, err = grpc.NewClient(grpcListener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithPerRPCCredentials(bearer(testToken)), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(8<<20))); err != nil {
		t.Fatal(err)
	}
	return w
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// bearer sends the token over gRPC.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func (bearer) RequireTransportSecurity() bool { return false }

// syncBuffer is a log that several goroutines write.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// escape percent-encodes every byte that is not unreserved.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// answer is what came back of a request.
type answer struct {
	status  int
	header  http.Header
	body    []byte
	reason  string
	message string
}

// call sends a request with the token; path is escaped already.
func (w *world) call(t testing.TB, method, path string, body io.Reader, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+w.rest+"/", body)
	if err != nil {
		t.Fatal(err)
	}
	raw, query, _ := strings.Cut(path, "?")
	unescaped, err := url.PathUnescape(raw)
	if err != nil {
		t.Fatal(err)
	}
	req.URL.Path, req.URL.RawPath, req.URL.RawQuery = unescaped, raw, query
	req.Header.Set("Authorization", "Bearer "+testToken)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Content-Length" {
			t.Fatal("set the length by the body")
		}
	}
	return w.do(t, req)
}

func (w *world) do(t testing.TB, req *http.Request) answer {
	t.Helper()
	resp, err := w.client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		t.Fatalf("%s %s: read the answer: %v", req.Method, req.URL, err)
	}
	a.explain()
	return a
}

// explain reads reason and message of an error.
func (a *answer) explain() {
	var status struct {
		Message string
		Details []struct{ Reason, Domain string }
	}
	if a.status < 300 || json.Unmarshal(a.body, &status) != nil {
		return
	}
	a.message = status.Message
	for _, d := range status.Details {
		if d.Domain == "drystone" {
			a.reason = d.Reason
		}
	}
}

// bucket makes a bucket.
func (w *world) bucket(t testing.TB, name string) {
	t.Helper()
	if a := w.call(t, "PUT", "/v1/buckets/"+name, nil); a.status != http.StatusOK {
		t.Fatalf("make bucket %s: %d %s", name, a.status, a.body)
	}
}

// put stores an object and returns the answer, which must be a success.
func (w *world) put(t testing.TB, bucket, key string, body []byte, headers ...string) answer {
	t.Helper()
	a := w.call(t, "PUT", objectURL(bucket, key), bytes.NewReader(body), headers...)
	if a.status != http.StatusOK {
		t.Fatalf("put %q: %d %s", key, a.status, a.body)
	}
	return a
}

func objectURL(bucket, key string) string { return "/v1/buckets/" + bucket + "/objects/" + escape(key) }

func (w *world) objects() apiv1.ObjectServiceClient { return apiv1.NewObjectServiceClient(w.grpc) }

// decode reads JSON.
func decode(t testing.TB, raw []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
}
