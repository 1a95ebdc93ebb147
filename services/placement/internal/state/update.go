package state

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/drystone-store/drystone/services/kit/clock"
)

const (
	// txnTimeout bounds one transaction: above an election, below what callers wait for.
	txnTimeout = 3 * time.Second
	// catchUp bounds how long a write waits for its own event, so that this replica shows it at once.
	catchUp = 500 * time.Millisecond
	// maxTries bounds how often a write is decided anew: replicas are two or three, and each of them lets one write
	// at a time compete for a counter.
	maxTries = 32
	// tryPause is the mean pause before the second and later new tries.
	tryPause = 2 * time.Millisecond
)

// change is what a write will do: puts happen if all compares hold. Without puts there is nothing to do.
type change struct {
	compares []clientv3.Cmp
	puts     []clientv3.Op
}

// update decides on memory and writes by compare-and-set, again while a compare fails. decide runs on the copy and
// keeps nothing of it. The revision is that of the puts; 0 if decide wanted none.
func (s *Store) update(ctx context.Context, operation string, decide func(*model) (change, error)) (int64, error) {
	if err := s.Ready(); err != nil {
		return 0, err
	}
	for try := range maxTries {
		var c change
		var err error
		s.mirror.read(func(m *model) { c, err = decide(m) })
		if err != nil || len(c.puts) == 0 {
			return 0, err
		}
		revision, done, err := s.commit(ctx, operation, c)
		if err != nil {
			return 0, err
		}
		if done {
			return revision, nil
		}
		if try > 0 {
			pause(ctx, tryPause)
		}
	}
	return 0, unavailable(nil, fmt.Sprintf("%s: others were first %d times", operation, maxTries))
}

// commit sends one transaction, with the clock. If a compare failed it waits until memory knows more than it did.
func (s *Store) commit(ctx context.Context, operation string, c change) (revision int64, done bool, err error) {
	began := clock.Now()
	bounded, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), txnTimeout)
	defer cancel()
	answer, err := s.etcd.Txn(bounded).
		If(c.compares...).
		Then(append(c.puts, clientv3.OpPut(clockKey, ""))...).
		Else(clientv3.OpGet(clockKey, clientv3.WithKeysOnly())).
		Commit()
	s.metrics.observe(operation, clock.Since(began), err == nil && answer.Succeeded, err)
	if err != nil {
		return 0, false, failed(ctx, err, operation)
	}
	// Whatever another cluster has done, its numbers and revisions do not get out.
	if err := s.origin.Check(answer.Header.GetClusterId()); err != nil {
		return 0, false, unavailable(err, operation)
	}
	if answer.Succeeded {
		s.showOwn(ctx, answer.Header.GetRevision())
		return answer.Header.GetRevision(), true, nil
	}
	moved := answer.Responses[0].GetResponseRange().GetKvs()
	if len(moved) == 0 {
		return 0, false, unavailable(nil, operation+": the cluster is not founded yet")
	}
	if err := s.mirror.wait(bounded, moved[0].GetModRevision()); err != nil {
		return 0, false, failed(ctx, err, operation+": wait for the watch")
	}
	return 0, false, nil
}

// showOwn waits for a write's own event. It is a courtesy: whoever needs to be sure uses the barrier.
func (s *Store) showOwn(ctx context.Context, revision int64) {
	ctx, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	if err := s.mirror.wait(ctx, revision); err != nil {
		s.log.DebugContext(ctx, "the watch lags behind a write of this replica", "revision", revision)
	}
}

// unchanged compares a key's mod-revision; 0 means that the key must not exist.
func unchanged(key string, modRevision int64) clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(key), "=", modRevision)
}

// turn lets one write of this replica at a time compete for a counter.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// take waits for the turn; done gives it back.
func (t turn) take(ctx context.Context) (done func(), err error) {
	select {
	case t <- struct{}{}:
		return func() { <-t }, nil
	case <-ctx.Done():
		return nil, failed(ctx, ctx.Err(), "wait for a turn")
	}
}
