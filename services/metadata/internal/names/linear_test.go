package names_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	metadatav1 "github.com/drystone-store/drystone/proto/gen/drystone/metadata/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/metadata/internal/etcdtest"
	"github.com/drystone-store/drystone/services/metadata/internal/head"
	"github.com/drystone-store/drystone/services/metadata/internal/head/headtest"
	"github.com/drystone-store/drystone/services/metadata/internal/names"
)

const (
	linearClients  = 8
	linearBuckets  = 4
	linearKeys     = 3
	linearDuration = 5 * time.Second
	// linearCheck bounds the checker; not done by then is a failure, not a pass.
	linearCheck = 60 * time.Second
)

// Puts, conditional puts, gets, deletes and lists through two replicas, whose clocks differ by half an hour, with
// impatient clients and a leader that moves, form a linearizable history: also those whose outcome nobody learned.
func TestLinearizable(t *testing.T) {
	t.Parallel()
	h := newHistory(t, asIs)
	h.record(t)
	for b, ops := range h.ops {
		if got := porcupine.CheckOperationsTimeout(model(), ops, linearCheck); got != porcupine.Ok {
			t.Errorf("bucket %d: %d operations: %s", b, len(ops), got)
		}
	}
	t.Logf("%d operations, %d of them with unknown outcome, %d tried again", h.count(), h.unknown, h.again)
	if h.again == 0 {
		t.Error("no client was impatient")
	}
}

// The control: reads without the barrier must be caught.
func TestLinearizableControl(t *testing.T) {
	t.Parallel()
	h := newHistory(t, func(ix head.Index) head.Index { return headtest.Unguarded{Index: ix} })
	h.record(t)
	for _, ops := range h.ops {
		if porcupine.CheckOperationsTimeout(model(), ops, linearCheck) == porcupine.Illegal {
			return
		}
	}
	t.Errorf("%d operations without barriers went through the check", h.count())
}

type verb int

const (
	verbPut verb = iota
	verbPutAbsent
	verbDelete
	verbGet
	verbList
)

type input struct {
	verb       verb
	key, value string
}

// output: refused, or what was read; of unknown outcomes nothing can be said.
type output struct {
	unknown, refused bool
	read             string
}

// model is one bucket: its state is the sorted list of key=value, as a list returns it.
func model() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return "" },
		Step: func(state, in, out any) (bool, any) {
			s, i, o := state.(string), in.(input), out.(output)
			value, exists := lookup(s, i.key)
			switch i.verb {
			case verbPut:
				return true, with(s, i.key, i.value)
			case verbPutAbsent:
				if exists {
					return o.unknown || o.refused, s
				}
				return o.unknown || !o.refused, with(s, i.key, i.value)
			case verbDelete:
				return true, with(s, i.key, "")
			case verbGet:
				return o.read == value, s
			default:
				return o.read == s, s
			}
		},
		DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v → %+v", in, out) },
	}
}

func lookup(state, key string) (string, bool) {
	for pair := range strings.SplitSeq(state, ";") {
		if value, ok := strings.CutPrefix(pair, key+"="); ok {
			return value, true
		}
	}
	return "", false
}

func with(state, key, value string) string {
	var pairs []string
	for pair := range strings.SplitSeq(state, ";") {
		if pair != "" && !strings.HasPrefix(pair, key+"=") {
			pairs = append(pairs, pair)
		}
	}
	if value != "" {
		pairs = append(pairs, key+"="+value)
	}
	slices.Sort(pairs)
	return strings.Join(pairs, ";")
}

// linear is a recorded history, one list of operations a bucket: buckets are independent.
type linear struct {
	cluster  *etcdtest.Cluster
	replicas []*names.Names
	peeks    []head.Index
	buckets  []*metadatav1.BucketRow

	mu             sync.Mutex
	ops            [linearBuckets][]porcupine.Operation
	unknown, again int
}

func newHistory(t *testing.T, wrap func(head.Index) head.Index) *linear {
	t.Helper()
	h := &linear{cluster: etcdtest.Start(t, 3)}
	for i, skew := range []time.Duration{0, 30 * time.Minute} {
		n, index := replica(t, h.cluster.Client(t, i), skew, wrap)
		h.replicas = append(h.replicas, n)
		h.peeks = append(h.peeks, index)
	}
	for b := range linearBuckets {
		h.buckets = append(h.buckets, mustCreate(t, h.replicas[0], fmt.Sprint("bucket-", b)))
	}
	for _, ix := range h.peeks { // the buckets themselves are not part of the history
		if err := ix.Read(t.Context(), func(head.View) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func (h *linear) count() (n int) {
	for _, ops := range h.ops {
		n += len(ops)
	}
	return n
}

func (h *linear) record(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), linearDuration)
	defer cancel()
	began := time.Now()
	var g sync.WaitGroup
	for c := range linearClients {
		g.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				bucket := rand.N(linearBuckets)
				in := input{verb: verb(rand.N(5)), key: fmt.Sprint("k", rand.N(linearKeys)), value: fmt.Sprintf("%d.%d", c, i)}
				call := time.Since(began).Nanoseconds()
				out, again := h.do(t, h.buckets[bucket], in)
				h.add(bucket, again, porcupine.Operation{
					ClientId: c, Input: in, Call: call, Output: out, Return: time.Since(began).Nanoseconds(),
				})
			}
		})
	}
	g.Go(func() {
		for tick := time.NewTicker(time.Second); ctx.Err() == nil; {
			select {
			case <-tick.C:
				_ = h.cluster.MoveLeader(ctx) // there may be none just now
			case <-ctx.Done():
			}
		}
	})
	g.Wait()
}

func (h *linear) add(bucket, again int, op porcupine.Operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.again += again
	if op.Output.(output).unknown {
		if in := op.Input.(input); in.verb == verbGet || in.verb == verbList {
			return // a read without an answer says nothing
		}
		h.unknown++
		op.Return = math.MaxInt64 // it may still apply
	}
	h.ops[bucket] = append(h.ops[bucket], op)
}

// do does one operation, with a patience that is sometimes too short, and then once more through any replica.
func (h *linear) do(t *testing.T, b *metadatav1.BucketRow, in input) (out output, again int) {
	at := rand.N(len(h.replicas))
	m := mutation(b, in)
	h.peeks[at].Peek(func(v head.View) { m.Since = v.Revision() })
	for range 2 {
		patience := 10 * time.Second
		if rand.N(6) == 0 {
			patience = 200*time.Microsecond + rand.N(5*time.Millisecond)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		out, err := try(ctx, h.replicas[at], b, in, m)
		cancel()
		if err == nil {
			return out, again
		}
		at, again = rand.N(len(h.replicas)), again+1
	}
	return output{unknown: true}, again
}

func mutation(b *metadatav1.BucketRow, in input) *metadatav1.Mutation {
	m := put(b, in.key, in.value)
	if in.verb == verbPutAbsent {
		m.Condition = &metadatav1.Condition{IfNoneMatch: []string{"*"}}
	}
	if in.verb == verbDelete {
		m = del(b, in.key)
	}
	return m
}

// try does an operation through a replica; an error leaves its outcome open.
func try(ctx context.Context, n *names.Names, b *metadatav1.BucketRow, in input, m *metadatav1.Mutation) (output, error) {
	switch in.verb {
	case verbGet:
		found, err := n.GetVersion(ctx, b.GetName(), in.key, 0)
		if fault.Is(err, typesv1.Reason_REASON_NO_SUCH_KEY) {
			return output{}, nil
		}
		return output{read: found.Row.GetContentType()}, err
	case verbList:
		page, err := n.ListVersions(ctx, names.ListQuery{Bucket: b.GetName(), Limit: 1000})
		var pairs []string
		for _, v := range page.Versions {
			pairs = append(pairs, v.GetKey()+"="+v.GetRow().GetContentType())
		}
		return output{read: strings.Join(pairs, ";")}, err
	default:
		r := n.Commit(ctx, []*metadatav1.Mutation{m})[0]
		if fault.Is(r.Err, typesv1.Reason_REASON_PRECONDITION_FAILED) {
			return output{refused: true}, nil
		}
		return output{}, r.Err
	}
}
