package state

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"

	"github.com/google/uuid"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// freshStarts is how many numbers the counters of a new incarnation may begin at. The incarnation itself comes out of
// the snapshot, so who restores one snapshot twice gets one incarnation twice. A random beginning in half of the
// counter's range keeps the two apart all the same (one chance in 10^8 that they meet, with a million volumes each), and
// the other half is left to count in.
const freshStarts = 1 << (counterBits - 1)

// found creates the cluster unless it exists: its id, and the counters at their beginnings; a cluster that comes from
// another etcd begins a new incarnation. It tries until that is so, or ctx ends.
func (s *Store) found(ctx context.Context) {
	id := uuid.NewString()
	for {
		done, err := s.foundOnce(ctx, id)
		if done || ctx.Err() != nil {
			return
		}
		if err != nil {
			s.log.Warn("the cluster is not founded yet", slog.Any("error", err))
		}
		pause(ctx, retryPause)
	}
}

// foundOnce looks, and does what is missing. It is not done when another replica was faster.
func (s *Store) foundOnce(ctx context.Context, id string) (done bool, err error) {
	ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), txnTimeout)
	defer cancel()
	b, err := s.look(ctx)
	if err != nil {
		return false, err
	}
	var c change
	var what string
	switch {
	case b.cluster == nil:
		c, what = b.create(id), "it is new"
	case b.etcd == nil:
		c, what = b.adopt(), "its etcd was not kept so far"
	case string(b.etcd.GetValue()) == b.answered:
		return true, nil
	default:
		what = "etcd was restored: a new incarnation"
		if c, err = b.begin(rand.Uint64N(freshStarts)); err != nil {
			return false, err
		}
	}
	answer, err := s.etcd.Txn(ctx).If(c.compares...).Then(append(c.puts, clientv3.OpPut(clockKey, ""))...).Commit()
	if err != nil {
		return false, fmt.Errorf("found the cluster: %w", err)
	}
	if err := s.origin.Check(answer.Header.GetClusterId()); err != nil {
		return false, err
	}
	if answer.Succeeded {
		s.log.Info("the cluster begins in this etcd", slog.String("why", what),
			slog.String("etcd_cluster", b.answered), slog.String("etcd_cluster_before", string(b.etcd.GetValue())))
	}
	return answer.Succeeded, nil
}

// beginning is what decides how a replica begins.
type beginning struct {
	// answered is the id of the cluster of etcd that answered; etcd has the one whose counters the state has.
	answered                   string
	cluster, etcd, incarnation *mvccpb.KeyValue
}

func (s *Store) look(ctx context.Context) (*beginning, error) {
	answer, err := s.etcd.Txn(ctx).Then(
		clientv3.OpGet(clusterKey), clientv3.OpGet(etcdKey), clientv3.OpGet(incarnationKey),
	).Commit()
	if err != nil {
		return nil, fmt.Errorf("look for the cluster: %w", err)
	}
	if err := s.origin.Check(answer.Header.GetClusterId()); err != nil {
		return nil, err
	}
	if answer.Header.GetClusterId() == 0 {
		return nil, errors.New("look for the cluster: etcd does not say which cluster it is")
	}
	b := &beginning{answered: hex16(answer.Header.GetClusterId())}
	for i, kv := range []**mvccpb.KeyValue{&b.cluster, &b.etcd, &b.incarnation} {
		if kvs := answer.Responses[i].GetResponseRange().GetKvs(); len(kvs) > 0 {
			*kv = kvs[0]
		}
	}
	return b, nil
}

// create is a new cluster.
func (b *beginning) create(id string) change {
	return change{
		compares: []clientv3.Cmp{unchanged(clusterKey, 0)},
		puts: []clientv3.Op{
			clientv3.OpPut(clusterKey, id),
			clientv3.OpPut(etcdKey, b.answered),
			clientv3.OpPut(incarnationKey, formatCount(1)),
			clientv3.OpPut(termKey, formatCount(0)),
			clientv3.OpPut(volumeKey, formatCount(0)),
			clientv3.OpPut(registerKey, ""),
		},
	}
}

// adopt notes the etcd of a cluster that was founded before etcd's id was kept.
func (b *beginning) adopt() change {
	return change{
		compares: []clientv3.Cmp{unchanged(etcdKey, 0)},
		puts:     []clientv3.Op{clientv3.OpPut(etcdKey, b.answered)},
	}
}

// begin is a new incarnation: what the last one gave out after the snapshot is not in the counters, so new numbers begin
// above all that it could give out. Nobody's term goes on: a writer that lived through the restore would go on with
// volumes that are not in the map any more. Errors: there is no further incarnation.
func (b *beginning) begin(start uint64) (change, error) {
	last, err := parseCount(incarnationKey, b.incarnation.GetValue())
	if err != nil {
		return change{}, err
	}
	if last >= maxIncarnation {
		return change{}, fmt.Errorf("incarnations are used up: %d", last)
	}
	return change{
		compares: []clientv3.Cmp{
			unchanged(etcdKey, b.etcd.GetModRevision()), unchanged(incarnationKey, b.incarnation.GetModRevision()),
		},
		puts: []clientv3.Op{
			clientv3.OpPut(etcdKey, b.answered),
			clientv3.OpPut(incarnationKey, formatCount(last+1)),
			clientv3.OpPut(termKey, formatCount((last+1)<<counterBits|start)),
			clientv3.OpPut(volumeKey, formatCount(start)),
			clientv3.OpDelete(writerPrefix, clientv3.WithPrefix()),
		},
	}, nil
}
