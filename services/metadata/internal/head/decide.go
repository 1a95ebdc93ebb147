package head

import (
	"iter"

	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// maxPlanChanges is how many rows one write may change, or guard: a bucket, its id, its tenant's listing, and one to
// spare. See maxBatchWrites for what etcd would bear.
const maxPlanChanges = 4

// verdict is what a state means for a write.
type verdict int

const (
	// verdictChange: the plan changes rows; decision.change has it.
	verdictChange verdict = iota
	// verdictApplied: an earlier try has applied it; decision.result says where.
	verdictApplied
	// verdictAsIs: refused, or nothing to change; stands if it does so after a barrier.
	verdictAsIs
	// verdictUnknown: an earlier try may have applied it, out of this replica's sight.
	verdictUnknown
)

type decision struct {
	verdict verdict
	result  Result
	change  change
}

// change is a plan with the comparisons that keep it true.
type change struct {
	version uint64
	puts    []Put
	drops   []string
	rows    []comparison // what it replaces
	guards  []comparison // what else it rests on
	epoch   int64
	bytes   int
}

// comparison holds if the row has revision mod, or with below != nil a payload bytewise below it.
type comparison struct {
	key   string
	mod   int64
	below []byte
}

// decide judges a write that may have been tried since a revision.
func (s *state) decide(w *Write, since int64) decision {
	if t, ok := s.trace(w.Key, w.ID); ok {
		return decision{verdict: verdictApplied, result: Result{Revision: t.rev, Version: t.version}}
	}
	if !s.untouchedSince(w.Key, since) {
		return decision{verdict: verdictUnknown, result: Result{Err: errForgotten()}}
	}
	plan, err := w.Plan(s)
	if err != nil {
		return decision{verdict: verdictAsIs, result: Result{Err: err}}
	}
	if len(plan.Puts)+len(plan.Drops) == 0 {
		return decision{verdict: verdictAsIs, result: Result{Revision: s.applied}}
	}
	if len(plan.Puts)+len(plan.Drops) > maxPlanChanges || len(plan.Guards) > maxPlanChanges {
		return decision{verdict: verdictAsIs, result: Result{Err: fault.Bug("plan for %q: too many changes or guards", w.Key)}}
	}
	return decision{verdict: verdictChange, change: s.secure(w, plan)}
}

// secure adds the comparisons (constraint 3).
func (s *state) secure(w *Write, p Plan) change {
	c := change{
		puts: p.Puts, drops: p.Drops, epoch: s.epoch,
		rows:   make([]comparison, 0, len(p.Puts)+len(p.Drops)),
		guards: make([]comparison, 0, len(p.Guards)),
	}
	for _, put := range p.Puts {
		c.rows = append(c.rows, comparison{key: put.Key, mod: s.mod(put.Key)})
		c.bytes += valueHeader + 2*len(put.Key) + len(put.Payload)
		if put.Key == w.Key {
			c.version = put.Version
		}
	}
	for _, key := range p.Drops {
		c.rows = append(c.rows, comparison{key: key, mod: s.mod(key)})
		c.bytes += 2 * len(key)
	}
	for _, g := range p.Guards {
		cmp := comparison{key: g.Key, mod: s.mod(g.Key)}
		if g.Below != nil && cmp.mod != 0 { // etcd never finds an absent value below anything
			cmp = comparison{key: g.Key, below: g.Below}
		}
		c.guards = append(c.guards, cmp)
		c.bytes += len(g.Key) + len(g.Below) + valueHeader
	}
	return c
}

// keys are the rows that the change writes.
func (c *change) keys() iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range c.puts {
			if !yield(c.puts[i].Key) {
				return
			}
		}
		for _, key := range c.drops {
			if !yield(key) {
				return
			}
		}
	}
}

func errForgotten() error {
	return fault.New(codes.Unavailable, typesv1.Reason_REASON_OUTCOME_UNKNOWN,
		"an earlier try of this write lies too far back to tell what became of it")
}

func errUnanswered() error {
	return fault.New(codes.Unavailable, typesv1.Reason_REASON_OUTCOME_UNKNOWN, "etcd did not answer; the write may apply")
}
