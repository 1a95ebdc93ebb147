package state

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/google/uuid"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// found creates the cluster unless it exists: its id, and the counters at their beginnings. It tries until it knows
// that the cluster is there, or ctx ends.
func (s *Store) found(ctx context.Context) {
	id := uuid.NewString()
	for {
		err := s.foundOnce(ctx, id)
		if err == nil || ctx.Err() != nil {
			return
		}
		s.log.Warn("etcd does not answer", slog.Any("error", err))
		pause(ctx, retryPause)
	}
}

func (s *Store) foundOnce(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), txnTimeout)
	defer cancel()
	answer, err := s.etcd.Txn(ctx).If(unchanged(clusterKey, 0)).Then(
		clientv3.OpPut(clusterKey, id),
		clientv3.OpPut(incarnationKey, formatCount(1)),
		clientv3.OpPut(termKey, formatCount(0)),
		clientv3.OpPut(volumeKey, formatCount(0)),
		clientv3.OpPut(registerKey, ""),
		clientv3.OpPut(clockKey, ""),
	).Commit()
	if err != nil {
		return fmt.Errorf("found the cluster: %w", err)
	}
	if answer.Succeeded {
		s.log.Info("a new cluster", slog.String("cluster_id", id))
	}
	return nil
}
