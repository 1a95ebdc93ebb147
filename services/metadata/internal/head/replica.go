package head

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/log"
	"github.com/drystone-store/drystone/services/kit/origin"
)

const (
	// rewatchPause is waited before a broken watch is begun again, and before a failed load: short, because nothing is
	// served meanwhile, but no busy loop while etcd is away.
	rewatchPause = 100 * time.Millisecond
	// loadTimeout bounds one try to load all rows: 1 M rows take about 1.5 s.
	loadTimeout = 2 * time.Minute
)

// replica keeps a table equal to etcd: loads it at one revision, then follows the watch.
type replica struct {
	etcd    *clientv3.Client
	table   *table
	gate    *gate
	origin  *origin.Origin
	ready   func(bool)
	log     *slog.Logger
	metrics *metrics

	loaded    bool
	following bool
	// from is where to watch from: above everything applied or known to be of no concern.
	from int64
	// restart ends the watch of the moment; a barrier calls it if the watch seems stuck.
	restart atomic.Pointer[context.CancelCauseFunc]
}

var errStuck = errors.New("the watch is behind and does not move")

// run follows etcd until ctx ends. It fails only on rows that it cannot read, a head that went back in time, or another
// etcd: all of them need a person.
func (r *replica) run(ctx context.Context) error {
	defer r.current(false)
	for ctx.Err() == nil {
		err := r.once(ctx)
		r.current(false)
		var bad *badRowsError
		var foreign *origin.ForeignError
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &bad), errors.As(err, &foreign):
			return err
		case errors.Is(err, rpctypes.ErrCompacted):
			r.loaded = false
		}
		r.log.LogAttrs(ctx, slog.LevelWarn, "the copy of the head fell behind", log.Error(err))
		pause(ctx, rewatchPause)
	}
	return nil
}

// once loads if need be and follows the watch until it breaks.
func (r *replica) once(ctx context.Context) error {
	if !r.loaded {
		if err := r.load(ctx); err != nil {
			return fmt.Errorf("load the head: %w", err)
		}
		r.loaded = true
	}
	if err := r.follow(ctx); err != nil {
		return fmt.Errorf("follow the head: %w", err)
	}
	return nil
}

// load replaces the table by all rows of one revision.
func (r *replica) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	began := clock.Now()
	l := &loading{}
	if err := l.all(ctx, r.etcd); err != nil {
		return err
	}
	if err := r.origin.Check(l.header.GetClusterId()); err != nil {
		return err
	}
	if l.rev < r.gate.applied.Load() {
		return &badRowsError{fmt.Errorf("the head is at revision %d, this replica has seen %d", l.rev, r.gate.applied.Load())}
	}
	r.table.replace(l.entries, l.epoch, l.rev)
	r.from = l.rev + 1
	r.gate.advance(l.rev)
	r.metrics.reloads.Inc()
	r.log.LogAttrs(ctx, slog.LevelInfo, "loaded the head",
		slog.Int("rows", len(l.entries)), slog.Int64("revision", l.rev),
		slog.Duration("took", clock.Since(began)))
	return nil
}

// follow applies events until the watch ends, and says why it did.
func (r *replica) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(clientv3.WithRequireLeader(ctx))
	defer cancel(nil)
	r.restart.Store(&cancel)
	watch := r.etcd.Watch(ctx, Prefix, clientv3.WithRange(prefixEnd), clientv3.WithRev(r.from),
		clientv3.WithCreatedNotify(), clientv3.WithProgressNotify())
	for resp := range watch {
		if err := resp.Err(); err != nil {
			return err
		}
		if err := r.apply(resp); err != nil {
			return err
		}
		r.current(true)
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return errors.New("the watch ended without an error")
}

// apply applies one answer of the watch. What is applied is the last event's revision, never the header's: while the
// watch catches up, the header is ahead of the events. Only a progress notification says that its header is reached.
func (r *replica) apply(resp clientv3.WatchResponse) error {
	if err := r.origin.Check(resp.Header.GetClusterId()); err != nil {
		return err
	}
	if resp.IsProgressNotify() {
		r.from = max(r.from, resp.Header.GetRevision()+1)
		return nil
	}
	if len(resp.Events) == 0 {
		return nil
	}
	events := make([]event, len(resp.Events))
	for i, ev := range resp.Events {
		kv := ev.GetKv()
		events[i] = event{key: string(kv.GetKey()), mod: kv.GetModRevision()}
		if ev.GetType() == clientv3.EventTypePut {
			events[i].put = nonNil(kv.GetValue())
		}
	}
	rev := events[len(events)-1].mod
	if err := r.table.apply(events, rev); err != nil {
		return &badRowsError{err}
	}
	r.from = rev + 1
	r.gate.advance(rev)
	return nil
}

// current tells whether the copy follows etcd, when that changes.
func (r *replica) current(is bool) {
	if r.following != is {
		r.following = is
		r.ready(is)
	}
}

// kick begins the watch anew.
func (r *replica) kick() {
	if cancel := r.restart.Load(); cancel != nil {
		(*cancel)(errStuck)
	}
}

// badRowsError is a state of etcd that this version must not serve.
type badRowsError struct{ err error }

func (e *badRowsError) Error() string { return "rows of the head: " + e.err.Error() }
func (e *badRowsError) Unwrap() error { return e.err }

func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// pause waits for d; false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// loading collects rows on their way to a table.
type loading struct {
	entries []entry
	epoch   int64
	rev     int64
	// header is the last that etcd sent.
	header *etcdserverpb.ResponseHeader
}

func (l *loading) add(kvs []*mvccpb.KeyValue) error {
	for _, kv := range kvs {
		key := string(kv.GetKey())
		if key == epochKey {
			l.epoch = kv.GetModRevision()
		}
		if isSystem(key) {
			continue
		}
		e, err := parseEntry(key, kv.GetValue(), kv.GetModRevision())
		if err != nil {
			return &badRowsError{err}
		}
		l.entries = append(l.entries, e)
	}
	return nil
}
