package state

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/drystone-store/drystone/services/kit/clock"
)

// RenewTerm keeps a term's lease alive and returns how long it lasts now. Errors: TERM_EXPIRED, UNAVAILABLE.
func (s *Store) RenewTerm(ctx context.Context, name string, term uint64) (time.Duration, error) {
	w, err := s.liveTerm(ctx, name, term)
	if err != nil {
		return 0, err
	}
	bounded, cancel := context.WithTimeout(ctx, txnTimeout)
	defer cancel()
	left, err := s.keepAlive(bounded, w.lease)
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return 0, termExpired(term)
	}
	if err != nil {
		return 0, failed(ctx, err, "keep a lease alive")
	}
	return left, nil
}

// keepAlive renews a lease once. The client library's own call tries again without pause while etcd is away.
func (s *Store) keepAlive(ctx context.Context, lease clientv3.LeaseID) (time.Duration, error) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel() // ends the stream
	stream, err := etcdserverpb.NewLeaseClient(s.etcd.ActiveConnection()).LeaseKeepAlive(ctx)
	if err != nil {
		return 0, rpctypes.Error(err)
	}
	if err := stream.Send(&etcdserverpb.LeaseKeepAliveRequest{ID: int64(lease)}); err != nil {
		return 0, rpctypes.Error(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		return 0, rpctypes.Error(err)
	}
	if answer.GetTTL() <= 0 {
		return 0, rpctypes.ErrLeaseNotFound
	}
	return time.Duration(answer.GetTTL()) * time.Second, nil
}

// liveTerm finds a writer's term, behind the barrier if memory does not have it.
func (s *Store) liveTerm(ctx context.Context, name string, term uint64) (writer, error) {
	var w writer
	var err error
	find := func(m *model) { w, err = s.termIn(m, name, term) }
	s.mirror.read(find)
	if err == nil {
		return w, nil
	}
	if err := s.Barrier(ctx); err != nil {
		return writer{}, err
	}
	s.mirror.read(find)
	return w, err
}

// termIn finds a writer's term in a copy. Errors: TERM_EXPIRED.
func (s *Store) termIn(m *model, name string, term uint64) (writer, error) {
	w, ok := m.writers[term]
	if !ok || w.name != name || clock.Since(w.seen) >= s.options.TermLength {
		return writer{}, termExpired(term)
	}
	return w, nil
}
