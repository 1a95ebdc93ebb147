package frontdoor

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/datapath/nodes"
	"github.com/drystone-store/drystone/services/datapath/peers"
	"github.com/drystone-store/drystone/services/datapath/volume"
	"github.com/drystone-store/drystone/services/frontdoor/internal/names"
	"github.com/drystone-store/drystone/services/frontdoor/internal/object"
	"github.com/drystone-store/drystone/services/frontdoor/internal/rest"
	"github.com/drystone-store/drystone/services/kit/app"
	"github.com/drystone-store/drystone/services/kit/limit"
)

// links lead to the services behind a front-door.
type links struct {
	metadata  *names.Replicas
	placement *nodes.Placement
	topology  *nodes.Topology
	volumes   *nodes.Map
	peers     *peers.Peers
	writer    *volume.Writer
	reader    *volume.Reader
}

// newLinks makes them; nothing is dialed before it is needed. close them whatever comes back.
func newLinks(cfg Config, env app.Env) (*links, error) {
	l := &links{}
	var err error
	if l.metadata, err = names.Dial(env.Dialer, cfg.Metadata); err != nil {
		return l, err
	}
	if l.placement, err = nodes.DialPlacement(env.Dialer, cfg.Placement); err != nil {
		return l, fmt.Errorf("reach placement: %w", err)
	}
	l.topology = nodes.NewTopology(l.placement.Client(), env.Log)
	if l.volumes, err = nodes.NewMap(l.placement.Client()); err != nil {
		return l, fmt.Errorf("make the volume map: %w", err)
	}
	l.peers, err = peers.New(peers.Options{
		Topology: l.topology, Dialer: env.Dialer, Log: env.Log, Metrics: env.Metrics,
	})
	if err != nil {
		return l, fmt.Errorf("make the chunk-servers' clients: %w", err)
	}
	writer, err := writerName(cfg.Name)
	if err != nil {
		return l, err
	}
	l.writer, err = volume.NewWriter(
		volume.WriterConfig{Name: writer, StripeMemory: cmp.Or(int64(cfg.Budgets.StripeMemory), defaultStripeMemory)},
		volume.WriterDeps{
			Placement: l.placement.Client(), Peers: l.peers, Topology: l.topology, Learn: l.volumes.Learn,
			Log: env.Log, Metrics: env.Metrics,
		})
	if err != nil {
		return l, fmt.Errorf("make the writer: %w", err)
	}
	memory, err := limit.NewBytes(limit.BytesOptions{
		Name: "frontdoor_reads", Budget: cmp.Or(int64(cfg.Budgets.ReadMemory), defaultReadMemory), Metrics: env.Metrics,
	})
	if err != nil {
		return l, fmt.Errorf("make the reader's budget: %w", err)
	}
	l.reader, err = volume.NewReader(l.volumes, l.peers, volume.ReaderOptions{
		Memory: memory, Pool: &block.Pool{}, Health: health{l.topology}, Metrics: env.Metrics,
	})
	if err != nil {
		return l, fmt.Errorf("make the reader: %w", err)
	}
	return l, nil
}

// ready says whether placement has let the writer begin. Later it may be without a term for a while: reads go on, so that
// is nothing to take a front-door out of service for.
func (l *links) ready() []rest.Check {
	check := rest.Check{Name: "writer"}
	if !l.writer.Begun() {
		check.Err = errors.New("placement has granted no term yet")
	}
	return []rest.Check{check}
}

// close drops connections; nothing uses them any more.
func (l *links) close() error {
	var errs []error
	if l.volumes != nil {
		l.volumes.Close()
	}
	if l.metadata != nil {
		errs = append(errs, l.metadata.Close())
	}
	if l.placement != nil {
		errs = append(errs, l.placement.Close())
	}
	return errors.Join(errs...)
}

// writerName is unique to this process's life: another life must not be taken for this one.
func writerName(name string) (string, error) {
	const randomBytes = 4
	raw := make([]byte, randomBytes)
	if _, err := rand.Read(raw); err != nil {
		return "", fmt.Errorf("name the writer: %w", err)
	}
	return Target + "-" + name + "-" + hex.EncodeToString(raw), nil
}

// writer lets the domain use a volume.Writer.
type writer struct{ *volume.Writer }

// Stream implements object.Writer.
func (w writer) Stream(ctx context.Context, scheme erasure.Scheme, h *typesv1.RecordHeader) (object.Stream, error) {
	s, err := w.Writer.Stream(ctx, scheme, h)
	if err != nil {
		return nil, err // A nil *volume.Stream must not become an object.Stream.
	}
	return s, nil
}

// health says from the topology whom a read asks first.
type health struct{ topology *nodes.Topology }

// Healthy implements volume.MemberHealth: nodes that are up, disks that can be read. Before the first topology everybody
// is.
func (h health) Healthy(member *placementv1.Member) bool {
	s := h.topology.Snapshot()
	if s.ClusterID() == "" {
		return true
	}
	disk, node, ok := s.Disk(member.GetDisk())
	if !ok || node.GetState() != placementv1.NodeState_NODE_STATE_UP {
		return false
	}
	switch disk.GetState() {
	case placementv1.DiskState_DISK_STATE_OK, placementv1.DiskState_DISK_STATE_FULL,
		placementv1.DiskState_DISK_STATE_READ_ONLY:
		return true
	case placementv1.DiskState_DISK_STATE_UNSPECIFIED, placementv1.DiskState_DISK_STATE_FAILED,
		placementv1.DiskState_DISK_STATE_MISSING:
	}
	return false
}
