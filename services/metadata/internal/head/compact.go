package head

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/drystone-store/drystone/services/kit/log"
)

const (
	// compactEvery is the time between compactions: often enough that each is small.
	compactEvery = 2 * time.Minute
	// compactTimeout bounds one, well below turnOver, so that two never overlap. 1 M rows written and deleted took 25 s.
	compactTimeout = 90 * time.Second
	// turnOver is how long a replica that compacts may be silent before another takes its turn.
	turnOver = 3 * compactEvery
	// keepBeyondWindow is how much more history stays than the window: a copy whose watch was broken for less goes on
	// without loading anew.
	keepBeyondWindow = 5 * time.Minute
)

// compactor drops etcd's history behind the window. One replica does it: the one named in the compact row, which it
// changes by compare before every pass; when that row has not changed for turnOver, the next to look takes it. Ages are
// this process's own, so no two clocks are compared.
type compactor struct {
	etcd    *clientv3.Client
	name    string
	keep    time.Duration
	applied func() int64
	now     func() time.Time

	rev     int64 // of the compact row
	changed time.Time
	marks   []mark // revisions this replica had, oldest first
}

type mark struct {
	rev int64
	at  time.Time
}

// compact runs the compactor until ctx ends.
func (e *Etcd) compact(ctx context.Context) error {
	c := &compactor{
		etcd: e.etcd,
		name: e.options.Name + "/" + strconv.FormatUint(rand.Uint64(), 16),
		keep: e.options.WindowAge + keepBeyondWindow,
		now:  e.options.Now, applied: e.gate.applied.Load,
		changed: e.options.Now(),
	}
	for pause(ctx, compactEvery) {
		done, err := c.pass(ctx)
		if err != nil && ctx.Err() == nil {
			e.log.LogAttrs(ctx, slog.LevelWarn, "history stays for now", log.Error(err))
		}
		if done {
			e.metrics.compacts.Inc()
		}
	}
	return nil
}

// pass compacts if it is this replica's turn and there is history older than keep.
func (c *compactor) pass(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, compactTimeout)
	defer cancel()
	now := c.now()
	c.marks = append(c.marks, mark{rev: c.applied(), at: now})
	mine, err := c.look(ctx, now)
	if err != nil || !mine {
		return false, err
	}
	target := c.behind(now)
	taken, err := c.take(ctx, now)
	if err != nil || !taken || target == 0 {
		return false, err
	}
	_, err = c.etcd.Compact(ctx, target, clientv3.WithCompactPhysical())
	if err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
		return false, fmt.Errorf("compact to revision %d: %w", target, err)
	}
	return true, nil
}

// look reads the compact row and says whether this replica may take the turn.
func (c *compactor) look(ctx context.Context, now time.Time) (bool, error) {
	resp, err := c.etcd.Get(ctx, compactKey)
	if err != nil {
		return false, fmt.Errorf("read the compact row: %w", err)
	}
	if len(resp.Kvs) == 0 {
		return true, nil
	}
	row := resp.Kvs[0]
	if row.GetModRevision() != c.rev {
		c.rev, c.changed = row.GetModRevision(), now
	}
	return string(row.GetValue()) == c.name || now.Sub(c.changed) > turnOver, nil
}

// take writes this replica's name into the row it looked at, if nobody was faster.
func (c *compactor) take(ctx context.Context, now time.Time) (bool, error) {
	resp, err := c.etcd.Txn(ctx).If(compareMod(compactKey, c.rev)).
		Then(clientv3.OpPut(compactKey, c.name), clientv3.OpPut(clockKey, c.name)).Commit()
	if err != nil {
		return false, fmt.Errorf("take the compactor's turn: %w", err)
	}
	if resp.Succeeded {
		c.rev, c.changed = resp.Header.GetRevision(), now
	}
	return resp.Succeeded, nil
}

// behind is the highest revision that this replica had longer than keep ago, 0 if there is none; older marks go.
func (c *compactor) behind(now time.Time) int64 {
	rev := int64(0)
	for len(c.marks) > 0 && now.Sub(c.marks[0].at) >= c.keep {
		rev = c.marks[0].rev
		c.marks = c.marks[1:]
	}
	return rev
}
