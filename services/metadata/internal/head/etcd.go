package head

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/log"
	"github.com/drystone-store/drystone/services/kit/origin"
)

const (
	// maxRounds bounds how often one write is planned. Each round is lost only to a write of the same row through another
	// replica, or to a purge; callers' deadlines usually end it before.
	maxRounds = 100
	// probeTimeout bounds one barrier: longer than an election, shorter than callers wait.
	probeTimeout = 5 * time.Second
	// probeTry bounds one linearizable read of a barrier.
	probeTry = time.Second
)

// Etcd is the Index in etcd. Run it; reads and writes wait for it.
type Etcd struct {
	etcd      *clientv3.Client
	options   Options
	table     *table
	gate      *gate
	replica   *replica
	barrier   *barrier
	committer *committer
	submitter *submitter
	origin    *origin.Origin
	metrics   *metrics
	log       *slog.Logger
}

var _ Index = (*Etcd)(nil)

// NewEtcd makes a replica of the head over a client, which stays the caller's. Errors: metrics registered already.
func NewEtcd(client *clientv3.Client, o Options) (*Etcd, error) {
	o = o.withDefaults()
	e := &Etcd{etcd: client, options: o, table: newTable(o), gate: &gate{}, origin: origin.New(), log: o.Log}
	var err error
	if e.metrics, err = newMetrics(o.Metrics, e.table); err != nil {
		return nil, err
	}
	e.replica = &replica{
		etcd: client, table: e.table, gate: e.gate, origin: e.origin, ready: o.Ready, log: o.Log, metrics: e.metrics,
	}
	e.barrier = newBarrier(e.probe, e.metrics)
	e.submitter = &submitter{etcd: client, name: o.Name, timeout: tryTimeout, origin: e.origin, metrics: e.metrics}
	e.committer = newCommitter(e.table, e.submitter.send, e.seen)
	e.submitter.finish = e.committer.finish
	return e, nil
}

// Run keeps the copy, sends writes, purges and compacts until ctx ends. It fails on rows that this version cannot read,
// on a head that went back in time, and when another cluster of etcd answers (*origin.ForeignError).
func (e *Etcd) Run(ctx context.Context) error {
	if err := e.bootstrap(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return followOne(ctx, e.origin) })
	g.Go(func() error { return e.replica.run(ctx) })
	g.Go(func() error { return e.barrier.run(ctx) })
	g.Go(func() error { return e.committer.run(ctx) })
	g.Go(func() error { return e.purge(ctx) })
	g.Go(func() error { return e.compact(ctx) })
	return g.Wait()
}

// followOne fails as soon as another cluster of etcd has answered; nil when ctx ends first.
func followOne(ctx context.Context, o *origin.Origin) error {
	select {
	case <-o.Broken():
		return o.Err() //nolint:wrapcheck // it says all
	case <-ctx.Done():
		return nil
	}
}

// bootstrap puts the rows that every transaction compares or puts, if this is a new head; it tries until etcd answers.
func (e *Etcd) bootstrap(ctx context.Context) error {
	for {
		try, cancel := context.WithTimeout(ctx, lastTimeout)
		resp, err := e.etcd.Txn(try).If(compareMod(clockKey, 0)).
			Then(clientv3.OpPut(clockKey, e.options.Name), clientv3.OpPut(epochKey, e.options.Name)).Commit()
		cancel()
		if err == nil {
			return e.origin.Check(resp.Header.GetClusterId()) // the first: it says which cluster this replica is held to
		}
		if final := refusal(err); final != nil && !fault.Is(final, typesv1.Reason_REASON_OVERLOADED) {
			return fmt.Errorf("bootstrap the head: %w", err)
		}
		e.log.LogAttrs(ctx, slog.LevelWarn, "etcd does not answer", log.Error(err))
		if !pause(ctx, rewatchPause) {
			return nil // the others end at once
		}
	}
}

// seen waits until the copy has a revision that a transaction was answered with.
func (e *Etcd) seen(ctx context.Context, rev int64) error {
	began := e.options.Now()
	err := e.gate.wait(ctx, rev)
	e.metrics.lag.Observe(e.options.Now().Sub(began).Seconds())
	return err
}

// Read implements Index.
func (e *Etcd) Read(ctx context.Context, use func(View) error) error {
	if err := e.barrier.pass(ctx); err != nil {
		return err
	}
	var err error
	e.table.view(func(s *state) { err = use(s) })
	return err
}

// Peek implements Index.
func (e *Etcd) Peek(use func(View)) { e.table.view(func(s *state) { use(s) }) }

// probe is one round of the barrier: everything answered so far lies at or below the clock's revision, because every
// transaction of the head puts the clock; so the copy is current once it has that revision.
func (e *Etcd) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	rev, err := e.readClock(ctx)
	if err != nil {
		return fault.Wrap(err, codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE, "etcd does not answer").
			WithRetryAfter(retryAfter)
	}
	if err := e.gate.wait(ctx, rev); err != nil {
		e.replica.kick()
		return fault.Wrap(err, codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE, "this replica lags behind etcd").
			WithRetryAfter(retryAfter)
	}
	return nil
}

func (e *Etcd) readClock(ctx context.Context) (int64, error) {
	for {
		try, cancel := context.WithTimeout(ctx, probeTry)
		resp, err := e.etcd.Get(try, clockKey, clientv3.WithKeysOnly())
		cancel()
		if err == nil {
			if err := e.origin.Check(resp.Header.GetClusterId()); err != nil {
				return 0, err
			}
		}
		switch {
		case err == nil && len(resp.Kvs) == 1:
			return resp.Kvs[0].GetModRevision(), nil
		case err == nil:
			err = errors.New("the clock row is gone")
		}
		if !pause(ctx, resendPause) {
			return 0, fmt.Errorf("read the clock: %w", err)
		}
	}
}

// Commit implements Index.
func (e *Etcd) Commit(ctx context.Context, writes []Write) []Result {
	results := make([]Result, len(writes))
	ops := make([]*op, len(writes))
	index := make(map[*op]int, len(writes))
	backing := make([]op, len(writes))
	for i := range writes {
		o := &backing[i]
		o.write, o.since = &writes[i], writes[i].Since
		ops[i], index[o] = o, i
	}
	report := func(o *op, r Result) {
		results[index[o]] = r
		e.metrics.count(r.Err)
	}
	for range maxRounds {
		if ops = e.round(ctx, ops, report); len(ops) == 0 {
			return results
		}
	}
	for _, o := range ops {
		report(o, Result{Err: fault.New(codes.Unavailable, typesv1.Reason_REASON_OVERLOADED,
			"row is contended: %d rounds lost", maxRounds).WithRetryAfter(retryAfter)})
	}
	return results
}

// round tries ops once, reports what is final and returns the others, which the copy is ready to plan again.
func (e *Etcd) round(ctx context.Context, ops []*op, report func(*op, Result)) []*op {
	failed := e.committer.do(ctx, ops)
	var again []*op
	var rev int64
	settle := false
	for _, o := range ops {
		switch {
		case !o.done.Load():
			report(o, Result{Err: leftBehind(failed)})
		case o.outcome.step == stepFinal:
			if o.outcome.found {
				e.metrics.resolved.Inc()
			}
			report(o, o.outcome.result)
		default:
			settle = settle || o.outcome.step == stepSettle
			o.settled = o.settled || o.outcome.step == stepSettle
			rev = max(rev, o.outcome.rev)
			again = append(again, o)
		}
	}
	if failed == nil && len(again) > 0 {
		failed = e.catchUp(ctx, rev, settle)
		e.metrics.retries.WithLabelValues(causeConflict).Add(float64(len(again)))
	}
	if failed != nil {
		for _, o := range again {
			report(o, Result{Err: failed}) // nothing of it is on its way: its last transaction was answered
		}
		return nil
	}
	return again
}

// catchUp waits until the copy has what the next plans need: a revision, or everything answered so far.
func (e *Etcd) catchUp(ctx context.Context, rev int64, settle bool) error {
	if settle { // a barrier also passes rev
		return e.barrier.pass(ctx)
	}
	return e.gate.wait(ctx, rev)
}

// leftBehind is the result of a write that the committer has not finished: it tells apart what was never taken.
func leftBehind(err error) error {
	if fault.Is(err, typesv1.Reason_REASON_OVERLOADED) {
		return err
	}
	return fault.Wrap(err, codes.Unavailable, typesv1.Reason_REASON_OUTCOME_UNKNOWN, "the caller's time ended first")
}
