// Package head runs the all-in-one's etcd: one member inside the process, which listens nowhere. Its clients call it
// by function call.
package head

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

const (
	// The defaults (10,000 and 5,000) keep that many raft entries in memory, and ours are up to 1.5 MiB each.
	snapshotCount          = 1000
	snapshotCatchUpEntries = 500
	// The head stays near 256 MiB (services/README.md); the rest is room for history and a late compaction. At the
	// quota etcd refuses writes until space is freed, so it must never be met in normal work.
	quotaBytes = 4 << 30
	// Compaction deletes in batches of this many revisions; the default of 1,000 falls behind 10,000 commits a second.
	compactionBatchLimit = 10_000
	// One member elects itself: short ticks only make the start faster. Five ticks is the least that etcd accepts.
	tickMillis     = 20
	electionMillis = 200
	// etcd warns of every request above this; commits of a busy disk take longer than its default of 100 ms.
	slowApply = time.Second
	// How long a start may take: replaying the log of a killed process is the longest part.
	startTimeout = 60 * time.Second
	// A URL for the member's record. Nothing listens there.
	nowhere = "http://127.0.0.1:0"
)

// Head is a running etcd member.
type Head struct {
	etcd   *embed.Etcd
	wire   *wire
	direct *clientv3.Client
	client *clientv3.Client
}

// Start opens or creates the member whose data lies in dir and waits until it has a leader, at most until ctx ends
// or a minute has passed.
func Start(ctx context.Context, dir string, log *slog.Logger) (*Head, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	cfg, err := config(dir, log)
	if err != nil {
		return nil, err
	}
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return nil, fmt.Errorf("start the embedded etcd in %s: %w", dir, err)
	}
	select {
	case <-e.Server.ReadyNotify():
	case <-e.Server.StopNotify():
		e.Close()
		return nil, fmt.Errorf("start the embedded etcd in %s: it stopped by itself", dir)
	case <-ctx.Done():
		e.Close()
		return nil, fmt.Errorf("wait for the embedded etcd in %s: %w", dir, ctx.Err())
	}
	h := &Head{etcd: e}
	if err := h.connect(); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

func config(dir string, log *slog.Logger) (*embed.Config, error) {
	u, err := url.Parse(nowhere)
	if err != nil {
		return nil, fmt.Errorf("parse the member's address: %w", err)
	}
	cfg := embed.NewConfig()
	cfg.Name = "drystone"
	cfg.Dir = dir
	cfg.ListenPeerUrls, cfg.ListenClientUrls = nil, nil
	cfg.AdvertisePeerUrls, cfg.AdvertiseClientUrls = []url.URL{*u}, []url.URL{*u}
	cfg.InitialCluster = cfg.Name + "=" + nowhere
	cfg.SnapshotCount = snapshotCount
	cfg.SnapshotCatchUpEntries = snapshotCatchUpEntries
	cfg.QuotaBackendBytes = quotaBytes
	cfg.CompactionBatchLimit = compactionBatchLimit
	cfg.TickMs, cfg.ElectionMs = tickMillis, electionMillis
	cfg.WarningApplyDuration = slowApply
	cfg.WarningUnaryRequestDuration = slowApply
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.New(newCore(log)))
	return cfg, nil
}

// connect makes the client. Its parts call the member's functions directly, which costs a fraction of gRPC; what asks
// for the connection itself gets one over memory.
func (h *Head) connect() error {
	h.wire = newWire(h.etcd.Server)
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{h.wire.address()}, DialOptions: []grpc.DialOption{h.wire.dialer()}, Logger: zap.NewNop(),
	})
	if err != nil {
		return fmt.Errorf("connect to the embedded etcd: %w", err)
	}
	h.direct = v3client.New(h.etcd.Server)
	client.KV = clientv3.NewKVFromKVClient(newKV(h.etcd.Server), client)
	client.Watcher, client.Lease = h.direct.Watcher, h.direct.Lease
	client.Cluster, client.Maintenance = h.direct.Cluster, h.direct.Maintenance
	h.client = client
	return nil
}

// Client is the in-process client. It lives as long as the Head; callers must not close it.
func (h *Head) Client() *clientv3.Client { return h.client }

// Close stops the member after its log is on disk. Clients must have stopped using it.
func (h *Head) Close() error {
	var errs []error
	for _, c := range []*clientv3.Client{h.client, h.direct} {
		if c == nil {
			continue
		}
		if err := c.Close(); err != nil && !errors.Is(err, context.Canceled) {
			errs = append(errs, fmt.Errorf("close the in-process etcd client: %w", err))
		}
	}
	h.wire.close()
	h.etcd.Close()
	return errors.Join(errs...)
}
