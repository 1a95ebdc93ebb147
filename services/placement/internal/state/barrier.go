package state

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/drystone-store/drystone/services/kit/clock"
)

// barrierTimeout bounds one round: a member without a leader answers nothing.
const barrierTimeout = 2 * time.Second

// barrier lets many readers share a linearizable read. A round begins after everyone who shares it has arrived: while
// one runs, the next ones wait to hand in their channels.
type barrier struct {
	ask chan chan error
}

func newBarrier() *barrier { return &barrier{ask: make(chan chan error)} }

// wait returns once memory shows everything that was written before the call.
func (b *barrier) wait(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case b.ask <- answer:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run serves rounds until ctx ends.
func (b *barrier) run(ctx context.Context, probe func(context.Context) error) {
	for {
		var round []chan error
		select {
		case first := <-b.ask:
			round = append(round, first)
		case <-ctx.Done():
			return
		}
		for more := true; more; {
			select {
			case next := <-b.ask:
				round = append(round, next)
			default:
				more = false
			}
		}
		err := probe(ctx)
		for _, answer := range round {
			answer <- err
		}
	}
}

// probe reads the clock from a majority and waits until the watch has come as far.
func (s *Store) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, barrierTimeout)
	defer cancel()
	answer, err := s.etcd.Get(clientv3.WithRequireLeader(ctx), clockKey, clientv3.WithKeysOnly())
	if err != nil {
		return unavailable(err, "read the clock key")
	}
	if err := s.origin.Check(answer.Header.GetClusterId()); err != nil {
		return unavailable(err, "read the clock key")
	}
	if len(answer.Kvs) == 0 {
		return unavailable(nil, "the cluster is not founded yet")
	}
	began := clock.Now()
	if err := s.mirror.wait(ctx, answer.Kvs[0].GetModRevision()); err != nil {
		return unavailable(err, fmt.Sprintf("wait for the watch to reach revision %d", answer.Kvs[0].GetModRevision()))
	}
	s.metrics.lag.Observe(clock.Since(began).Seconds())
	return nil
}
