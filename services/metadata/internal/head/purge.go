package head

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/drystone-store/drystone/services/kit/log"
)

const (
	// purgeGroups times purgeGroup tombstones go in one transaction. Each purge moves the epoch and so makes the commits
	// in flight be planned once more: large and rare is better than small and often. Etcd applies that many in some
	// milliseconds, and 34 + 32 stays below its max-txn-ops.
	purgeGroups = 32
	purgeGroup  = 32
	// purgePause keeps ten purges a second, hence 10,000 rows a second, as the most that commits must suffer.
	purgePause = 100 * time.Millisecond
	// purgeTimeout bounds one purge; an unanswered one is forgotten, the next looks anew.
	purgeTimeout = 5 * time.Second
	// minPurgeEvery and maxPurgeEvery bound the time between looks, a tenth of the retention.
	minPurgeEvery = time.Second
	maxPurgeEvery = time.Minute
)

// purge removes tombstones when their time has come. Every replica does it; who compares an old epoch loses and looks
// anew, so no two remove the same and nobody needs a lock.
func (e *Etcd) purge(ctx context.Context) error {
	every := min(max(e.options.TombstoneRetention/10, minPurgeEvery), maxPurgeEvery)
	for pause(ctx, every/2+rand.N(every)) { // replicas should not meet
		for more := true; more && pause(ctx, purgePause); {
			n, err := e.Purge(ctx, e.options.Now().Add(-e.options.TombstoneRetention))
			if err != nil && ctx.Err() == nil {
				e.log.LogAttrs(ctx, slog.LevelWarn, "tombstones stay for now", log.Error(err))
			}
			more = n > 0
		}
	}
	return nil
}

// Purge removes some of the tombstones that were put before a time, and returns how many. It is one transaction:
//
//	If epoch is as seen
//	Then, for each group: If its tombstones are as seen Then remove them; put epoch, put clock
//
// Removing makes a row absent once more, and there may be transactions on their way that compare its absence: a first
// try, long unanswered, of a put that was since applied by another try, overwritten and deleted. They compare the epoch
// of their time, too, and this put of the epoch makes them fail for ever.
func (e *Etcd) Purge(ctx context.Context, before time.Time) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, purgeTimeout)
	defer cancel()
	old := e.table.expired(before, purgeGroups*purgeGroup)
	if len(old) == 0 {
		return 0, nil
	}
	var epoch int64
	e.table.view(func(s *state) { epoch = s.epoch })
	var then []clientv3.Op
	var groups []int
	for group := range slices.Chunk(old, purgeGroup) {
		then = append(then, removal(group))
		groups = append(groups, len(group))
	}
	then = append(then, clientv3.OpPut(epochKey, e.options.Name), clientv3.OpPut(clockKey, e.options.Name))
	resp, err := e.etcd.Txn(ctx).If(compareMod(epochKey, epoch)).Then(then...).
		Else(clientv3.OpGet(clockKey, clientv3.WithKeysOnly())).Commit()
	if err != nil {
		return 0, fmt.Errorf("purge %d tombstones: %w", len(old), err)
	}
	if err := e.origin.Check(resp.Header.GetClusterId()); err != nil {
		return 0, fmt.Errorf("purge %d tombstones: %w", len(old), err)
	}
	if !resp.Succeeded {
		return 0, e.gate.wait(ctx, resp.Responses[0].GetResponseRange().GetKvs()[0].GetModRevision())
	}
	n := 0
	for i, size := range groups {
		if resp.Responses[i].GetResponseTxn().GetSucceeded() {
			n += size
		}
	}
	e.metrics.purged.Add(float64(n))
	return n, e.gate.wait(ctx, resp.Header.GetRevision())
}

// removal removes tombstones if all of them are as they were.
func removal(group []entry) clientv3.Op {
	cmps := make([]clientv3.Cmp, len(group))
	dels := make([]clientv3.Op, len(group))
	for i, e := range group {
		cmps[i] = compareMod(e.key, e.mod)
		dels[i] = clientv3.OpDelete(e.key)
	}
	return clientv3.OpTxn(cmps, dels, nil)
}
