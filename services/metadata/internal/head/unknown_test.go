package head_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/drystone-store/drystone/services/metadata/internal/etcdtest"
	"github.com/drystone-store/drystone/services/metadata/internal/head"
	"github.com/drystone-store/drystone/services/metadata/internal/head/headtest"
)

const (
	unknownWriters  = 48
	unknownKeys     = 40
	unknownDuration = 5 * time.Second
)

var errTaken = errors.New("not as expected")

// Constraint 4: three replicas contend for a few rows, their transactions time out at random while the leader moves, and
// impatient callers try again elsewhere. The history of etcd must show every acknowledged write once, at the revision
// that was answered, and no refused one.
func TestUnknownOutcomes(t *testing.T) {
	t.Parallel()
	r := newRivalry(t, false)
	r.run(t)
	found := r.check(t)
	t.Logf("%d writes: %d applied, %d refused, %d never answered; %d tried again elsewhere, %d hasty transactions, %d leader moves",
		len(r.answers), found.applied, found.refused, found.unknown, r.retries.Load(), r.hasty.Load(), r.moves.Load())
	if found.bad() != 0 {
		t.Errorf("%d lost, %d twice, %d ghosts, %d at another revision", found.lost, found.twice, found.ghosts, found.elsewhere)
	}
	if found.applied == 0 || found.refused == 0 || r.retries.Load() == 0 || r.moves.Load() == 0 {
		t.Error("the drill did not drill")
	}
}

// The control: callers who try again under a fresh write id must be caught.
func TestUnknownOutcomesControl(t *testing.T) {
	t.Parallel()
	r := newRivalry(t, true)
	r.run(t)
	if found := r.check(t); found.bad() == 0 {
		t.Error("writes under fresh ids went through the check")
	}
}

type rivalry struct {
	cluster  *etcdtest.Cluster
	replicas []*head.Etcd
	freshIDs bool

	hasty, retries, moves atomic.Int64
	mu                    sync.Mutex
	answers               map[string]answer // by payload
}

type answer struct {
	err error
	rev int64
}

func newRivalry(t *testing.T, freshIDs bool) *rivalry {
	t.Helper()
	r := &rivalry{cluster: etcdtest.Start(t, 3), freshIDs: freshIDs, answers: make(map[string]answer)}
	for i := range 3 {
		e := newReplica(t, r.cluster.Client(t, i), head.Options{})
		e.SetTryTimeout(func(int) time.Duration {
			if rand.N(3) == 0 {
				r.hasty.Add(1)
				return 200*time.Microsecond + rand.N(2500*time.Microsecond)
			}
			return 3 * time.Second
		})
		run(t, e)
		r.replicas = append(r.replicas, e)
	}
	return r
}

func (r *rivalry) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), unknownDuration)
	defer cancel()
	var g sync.WaitGroup
	for w := range unknownWriters {
		g.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				r.write(t, w%3, fmt.Sprintf("%d-%d", w, i))
			}
		})
	}
	g.Go(func() {
		for tick := time.NewTicker(700 * time.Millisecond); ctx.Err() == nil; {
			select {
			case <-tick.C:
				if r.cluster.MoveLeader(ctx) == nil {
					r.moves.Add(1)
				}
			case <-ctx.Done():
			}
		}
	})
	g.Wait()
}

// write does one write until it is answered, with a patience that is sometimes shorter than etcd takes.
func (r *rivalry) write(t *testing.T, at int, payload string) {
	k := head.VersionKey(1, fmt.Sprint(rand.N(unknownKeys)))
	w := head.Write{Key: k, ID: headtest.ID(), Plan: plan(k, payload)}
	r.replicas[at].Peek(func(v head.View) { w.Since = v.Revision() })
	for {
		patience := 20 * time.Second
		if rand.N(8) == 0 {
			patience = 500*time.Microsecond + rand.N(4*time.Millisecond)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		result := r.replicas[at].Commit(ctx, []head.Write{w})[0]
		cancel()
		if result.Err == nil || errors.Is(result.Err, errTaken) {
			if result.Err == nil && result.Version == 0 {
				return // nothing was to change
			}
			r.mu.Lock()
			r.answers[payload] = answer{err: result.Err, rev: result.Revision}
			r.mu.Unlock()
			return
		}
		r.retries.Add(1)
		if at = rand.N(3); r.freshIDs {
			w.ID = headtest.ID()
		}
	}
}

// plan makes one of four kinds of writes; which one, and what it expects, is drawn once, for all its tries.
func plan(k, payload string) func(head.View) (head.Plan, error) {
	kind := rand.N(4)
	return func(v head.View) (head.Plan, error) {
		row, ok := v.Get(k)
		live := ok && !row.Dead
		p := head.Put{Key: k, Payload: []byte(payload), Version: row.Version + 1}
		switch {
		case kind == 0 && live: // must be absent
			return head.Plan{}, errTaken
		case kind == 1 && row.Version%2 == 0: // must have an odd version
			return head.Plan{}, errTaken
		case kind == 2 && !live: // removes
			return head.Plan{}, nil
		case kind == 2:
			p.Dead = true
		}
		return head.Plan{Puts: []head.Put{p}}, nil
	}
}

type verdicts struct {
	applied, refused, unknown      int
	lost, twice, ghosts, elsewhere int
}

func (v verdicts) bad() int { return v.lost + v.twice + v.ghosts + v.elsewhere }

// check compares the answers with the history of etcd.
func (r *rivalry) check(t *testing.T) (found verdicts) {
	t.Helper()
	seen := history(t, r.cluster.Client(t, 0))
	for payload, a := range r.answers {
		revs := seen[payload]
		switch {
		case len(revs) > 1:
			found.twice++
		case a.err == nil && len(revs) == 0:
			found.lost++
		case a.err != nil && len(revs) > 0:
			found.ghosts++
		case a.err == nil && revs[0] != a.rev:
			found.elsewhere++
		case a.err == nil:
			found.applied++
		default:
			found.refused++
		}
		delete(seen, payload)
	}
	found.unknown = len(seen)
	return found
}

// history is every version row that was ever put: payload → revisions.
func history(t *testing.T, client *clientv3.Client) map[string][]int64 {
	t.Helper()
	// a put behind everything, outside of the head, tells where the history ends
	last, err := client.Put(t.Context(), "z", "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const header = 26
	seen := make(map[string][]int64)
	for resp := range client.Watch(ctx, head.Prefix, clientv3.WithFromKey(), clientv3.WithRev(1)) {
		if err := resp.Err(); err != nil {
			t.Fatal(err)
		}
		for _, ev := range resp.Events {
			kv := ev.GetKv()
			if kv.GetModRevision() == last.Header.GetRevision() {
				return seen
			}
			if ev.GetType() == clientv3.EventTypePut && strings.HasPrefix(string(kv.GetKey()), head.Prefix+"o/") {
				payload := string(kv.GetValue()[header:])
				seen[payload] = append(seen[payload], kv.GetModRevision())
			}
		}
	}
	t.Fatal("the history ended early")
	return nil
}
