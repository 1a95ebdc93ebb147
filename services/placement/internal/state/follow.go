package state

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// retryPause is how long a broken watch or load rests, on average, before it is tried again: short, because no volume
// is opened meanwhile, and long enough that a dead etcd costs nothing.
const retryPause = 200 * time.Millisecond

// loadTimeout bounds one load: a million entries take 2 s, and a member that stalls must not hold a replica for ever.
const loadTimeout = time.Minute

// follow keeps the copy up to date until ctx ends.
func (s *Store) follow(ctx context.Context) {
	next := int64(0) // revision to watch from; 0: load first
	for ctx.Err() == nil {
		var err error
		if next == 0 {
			next, err = s.load(ctx)
		}
		if err == nil {
			next, err = s.watch(ctx, next)
		}
		if ctx.Err() != nil {
			return
		}
		s.metrics.breaks.Inc()
		s.log.Warn("the copy of etcd stands still", slog.Any("error", err), slog.Bool("reload", next == 0))
		pause(ctx, retryPause)
	}
}

// load reads every key at one revision, swaps the copy, and returns the revision to watch from.
func (s *Store) load(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), loadTimeout)
	defer cancel()
	// One stream at one pinned revision: pages would each count the keys that are left.
	stream, err := s.etcd.GetStream(ctx, Prefix, clientv3.WithPrefix())
	if err != nil {
		return 0, fmt.Errorf("load: %w", err)
	}
	loaded, revision := newModel(), int64(0)
	// The stream is read to its end, whatever comes: its goroutine ends only then.
	for part := range stream {
		if part.Err() != nil {
			err = part.Err()
			continue
		}
		for _, kv := range part.GetKvs() {
			if bad := loaded.put(kv); bad != nil {
				s.log.Error("a key was not understood", slog.String("key", string(kv.GetKey())), slog.Any("error", bad))
			}
		}
		if part.GetHeader() != nil { // the last part
			revision = part.GetHeader().GetRevision()
			err = errors.Join(err, s.origin.Check(part.GetHeader().GetClusterId()))
		}
	}
	if err != nil {
		return 0, fmt.Errorf("load: %w", err)
	}
	if revision == 0 {
		return 0, errors.New("load: the stream ended early")
	}
	s.mirror.swap(loaded, revision)
	s.metrics.loads.Inc()
	return revision + 1, nil
}

// watch applies events from a revision on until the watch breaks, and returns where to go on: 0 to load again, when
// etcd has dropped the events that are missing.
func (s *Store) watch(ctx context.Context, next int64) (int64, error) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	for response := range s.etcd.Watch(ctx, Prefix, clientv3.WithPrefix(), clientv3.WithRev(next)) {
		if err := response.Err(); err != nil {
			if errors.Is(err, rpctypes.ErrCompacted) {
				return 0, fmt.Errorf("watch from revision %d: %w", next, err)
			}
			return next, fmt.Errorf("watch from revision %d: %w", next, err)
		}
		if err := s.origin.Check(response.Header.GetClusterId()); err != nil {
			return 0, fmt.Errorf("watch from revision %d: %w", next, err)
		}
		if len(response.Events) > 0 {
			s.mirror.apply(response.Events)
			next = lastRevision(response.Events) + 1
		}
	}
	return next, errors.New("the watch ended")
}

// pause waits for about d, or until ctx ends. The spread keeps replicas from trying in step.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d/2 + rand.N(d))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
