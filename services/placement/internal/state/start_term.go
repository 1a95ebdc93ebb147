package state

import (
	"context"
	"log/slog"
	"math"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Term is what a writer gets.
type Term struct {
	Number uint64
	// Length is how long it lasts at most, Lease how long unless it is renewed.
	Length, Lease time.Duration
}

// StartTerm begins a term: a number above all earlier ones, and a key for it that lives by a lease of etcd, so that
// renewing it writes nothing. Errors: UNAVAILABLE.
func (s *Store) StartTerm(ctx context.Context, name string) (Term, error) {
	done, err := s.terms.take(ctx)
	if err != nil {
		return Term{}, err
	}
	defer done()
	bounded, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), txnTimeout)
	defer cancel()
	lease, err := s.etcd.Grant(bounded, int64(math.Ceil(s.options.WriterLease.Seconds())))
	if err != nil {
		return Term{}, failed(ctx, err, "grant a lease")
	}
	var number uint64
	_, err = s.update(ctx, "start_term", func(m *model) (change, error) {
		number = m.lastTerm.value + 1
		return change{
			compares: []clientv3.Cmp{unchanged(termKey, m.lastTerm.modRevision)},
			puts: []clientv3.Op{
				clientv3.OpPut(termKey, formatCount(number)),
				clientv3.OpPut(writerEntryKey(number), name, clientv3.WithLease(lease.ID)),
			},
		}, nil
	})
	if err != nil {
		s.revoke(ctx, lease.ID)
		return Term{}, err
	}
	return Term{
		Number: number, Length: s.options.TermLength, Lease: time.Duration(lease.TTL) * time.Second,
	}, nil
}

// revoke ends a lease that nobody will use. If that fails too it runs out by itself.
func (s *Store) revoke(ctx context.Context, lease clientv3.LeaseID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), catchUp)
	defer cancel()
	if _, err := s.etcd.Revoke(ctx, lease); err != nil {
		s.log.DebugContext(ctx, "a lease is left to run out", slog.Any("error", err))
	}
}
