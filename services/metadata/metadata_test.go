package metadata_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	"github.com/drystone-store/drystone/services/kit/app"
	"github.com/drystone-store/drystone/services/kit/config"
	"github.com/drystone-store/drystone/services/kit/log"
	"github.com/drystone-store/drystone/services/kit/rpc"
	"github.com/drystone-store/drystone/services/metadata"
	"github.com/drystone-store/drystone/services/metadata/internal/etcdtest"
)

func TestMain(m *testing.M) { etcdtest.VerifyTestMain(m) }

func newEnv() app.Env {
	registry := rpc.NewRegistry()
	return app.Env{
		Log: log.Discard(), Metrics: prometheus.NewRegistry(), Registry: registry,
		Dialer: rpc.NewDialer(rpc.DialerOptions{Registry: registry, Caller: "test"}),
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// dial makes a client of a target that ends with the test.
func dial(t *testing.T, env app.Env, target string) rpc.Conn {
	t.Helper()
	conn, err := env.Dialer.Dial(target, rpc.ConnOptions{Peer: "metadata", Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func waitServing(t *testing.T, conn rpc.Conn) {
	t.Helper()
	for {
		r, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
		if err == nil && r.GetStatus() == healthv1.HealthCheckResponse_SERVING {
			return
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal("the service never serves")
		}
	}
}

// Two replicas of one head: one in process, one over the network. What one answers, the other knows; both end cleanly,
// and a later one finds everything.
func TestTwoReplicas(t *testing.T) {
	cluster := etcdtest.Start(t, 1)
	env, address := newEnv(), freeAddress(t)
	runReplica(t, env, metadata.Config{Name: "m-0"}, cluster)
	stopSecond := runReplica(t, newEnv(), metadata.Config{Name: "m-1", Listen: address}, cluster)
	near, far := dial(t, env, "inproc:"+metadata.Target), dial(t, env, address)
	waitServing(t, near)
	waitServing(t, far)

	first, second := metadatav1.NewMetadataServiceClient(near), metadatav1.NewMetadataServiceClient(far)
	made, err := first.CreateBucket(t.Context(), &metadatav1.CreateBucketRequest{Tenant: "acme", Name: "bucket", Scheme: "rs-4-2"})
	if err != nil {
		t.Fatal(err)
	}
	put := &metadatav1.Mutation{
		Bucket: "bucket", BucketId: made.GetBucket().GetId(), Key: "k",
		Row: &metadatav1.VersionRow{WriteId: []byte("0123456789abcdef"), ContentType: "text/plain"},
	}
	committed, err := second.Commit(t.Context(), &metadatav1.CommitRequest{Mutations: []*metadatav1.Mutation{put}})
	if err != nil || committed.GetOutcomes()[0].GetCode() != 0 {
		t.Fatal(committed, err)
	}
	got, err := first.GetVersion(t.Context(), &metadatav1.GetVersionRequest{Bucket: "bucket", Key: "k"})
	if err != nil || got.GetRow().GetVersion() != committed.GetOutcomes()[0].GetVersion() {
		t.Errorf("get through the other replica: %v, %v", got, err)
	}

	stopSecond()
	third := newEnv()
	runReplica(t, third, metadata.Config{Name: "m-1"}, cluster)
	conn := dial(t, third, "inproc:"+metadata.Target)
	waitServing(t, conn)
	got, err = metadatav1.NewMetadataServiceClient(conn).GetVersion(t.Context(), &metadatav1.GetVersionRequest{Bucket: "bucket", Key: "k"})
	if err != nil || got.GetRow().GetContentType() != "text/plain" {
		t.Errorf("get after a restart: %v, %v", got, err)
	}
}

// runReplica runs a replica until it is stopped or the test ends.
func runReplica(t *testing.T, env app.Env, cfg metadata.Config, cluster *etcdtest.Cluster) (stop func()) {
	t.Helper()
	etcd, err := metadata.Etcd{Endpoints: cluster.Endpoints()}.Dial(cfg.Name, env.Log)
	if err != nil {
		t.Fatal(err)
	}
	service, err := metadata.New(cfg, env, etcd)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		etcd.Close()
	}
	t.Cleanup(stop)
	return stop
}

func TestConfig(t *testing.T) {
	for _, c := range []struct {
		name, yaml string
		wrong      []string // parts of the error; none: it is right
	}{
		{"least", "name: m-0", nil},
		{"all", "name: m-0\nlisten: :7001\netcd: {endpoints: ['h:2379'], dial_timeout: 1s}\ntombstone_retention: 20m\nwindow: 5m", nil},
		{"long window", "name: m-0\nwindow: 1h", nil},
		{
			"everything wrong", "listen: here\nwindow: 1s\ntombstone_retention: 10ms\netcd: {dial_timeout: -1s, tls: {ca_file: /ca}}",
			[]string{"name:", "listen:", "window:", "tombstone_retention:", "etcd.dial_timeout:", "etcd.tls: cert_file:", "key_file:"},
		},
		{"retention below window", "name: m-0\nwindow: 1h\ntombstone_retention: 10m", []string{"tombstone_retention:"}},
		{"unknown field", "name: m-0\nwindows: 1h", []string{"windows"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var cfg metadata.Config
			err := config.Parse([]byte(c.yaml), &cfg)
			if (err == nil) != (len(c.wrong) == 0) {
				t.Fatalf("error %v", err)
			}
			for _, part := range c.wrong {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is missing in: %v", part, err)
				}
			}
		})
	}
	if _, err := (metadata.Etcd{}).Dial("m-0", log.Discard()); err == nil {
		t.Error("dialled nothing")
	}
	if _, err := metadata.New(metadata.Config{}, newEnv(), nil); err == nil {
		t.Error("a replica without a name")
	}
}
