package volume

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// lostRetryAfter is what a reader is told to wait when too many members are away that may come back: a chunk-server
// takes a few seconds to start.
const lostRetryAfter = 2 * time.Second

// errLate stands for the answer of a member that takes long.
var errLate = errors.New("no answer in time")

// lose takes in that a column's chunk failed. It ends the part when the map entry may be old, and when the member is
// only overloaded and asking others in its place has become too frequent: that would make the overload worse.
func (p *stripeRead) lose(c int, cause error) error {
	reason := fault.Reason(cause)
	if (reason == typesv1.Reason_REASON_CHUNK_STALE || reason == typesv1.Reason_REASON_NO_SUCH_CHUNK) && !p.fresh {
		return &restart{volume: p.volume.GetId()}
	}
	if fault.Code(cause) == codes.ResourceExhausted && !p.reader.detours.spend() {
		return fmt.Errorf("reading column %d of stripe %d of volume %#x: %w",
			c, p.pieces[0].Stripe, p.volume.GetId(), cause)
	}
	column := &p.columns[c]
	wasLate := column.state == columnLate
	column.state, column.err = columnLost, cause
	if !wasLate {
		p.blame(c, cause)
	}
	return nil
}

// markLate stops waiting for columns that were asked long ago, as far as the budget for asking others goes.
func (p *stripeRead) markLate() {
	now := clock.Now()
	for c := range p.columns {
		column := &p.columns[c]
		if column.state != columnAsked || column.late.After(now) {
			continue
		}
		if !p.reader.detours.spend() {
			column.late = now.Add(p.reader.timeout)
			continue
		}
		column.state, column.err = columnLate, errLate
		p.blame(c, errLate)
	}
}

// blame remembers who failed, for the rest of this read and, if it speaks against more than the chunk, for others.
func (p *stripeRead) blame(c int, cause error) {
	chunk := p.chunk(c)
	p.owner.failed.add(chunk)
	p.reader.avoided.blame(chunk, cause)
	p.reader.metrics.lose(cause)
}

// gap is the rows of the pieces that have no data and none on its way.
func (p *stripeRead) gap() rowRange {
	gap := rowRange{}
	for i := range p.pieces {
		piece := &p.pieces[i]
		if piece.data == nil && p.columns[piece.Column].state != columnAsked {
			gap = gap.hull(piece.rows())
		}
	}
	return gap
}

// substitute asks as many other columns for the rows of the gap as decoding takes beyond what is there or on its way.
func (p *stripeRead) substitute(ctx context.Context) error {
	gap := p.gap()
	if gap.size() == 0 {
		return nil
	}
	have := 0
	for c := range p.columns {
		column := &p.columns[c]
		if column.has.covers(gap) || column.state == columnAsked && column.asked.covers(gap) {
			have++
		}
	}
	for ; have < p.k; have++ {
		c := p.candidate(gap)
		if c < 0 {
			return nil // somebody who is late may still answer
		}
		if err := p.ask(ctx, c, gap); err != nil {
			return err
		}
	}
	return nil
}

// candidate is the best column to ask for rows: those to avoid come last. It is -1 if there is none.
func (p *stripeRead) candidate(rows rowRange) int {
	last := -1
	for c := range p.columns {
		column := &p.columns[c]
		if column.state != columnIdle || column.has.covers(rows) {
			continue
		}
		if column.piece < 0 && !p.shouldAvoid(c, false) || column.piece >= 0 && !column.avoid {
			return c
		}
		if last < 0 {
			last = c
		}
	}
	return last
}

// decodable says that everything wanted that will come by itself is there and that k columns hold the gap: so a stripe
// is decoded once, whatever it lacks.
func (p *stripeRead) decodable() bool {
	for i := range p.pieces {
		if p.pieces[i].data == nil && p.columns[p.pieces[i].Column].state == columnAsked {
			return false
		}
	}
	return p.sources(p.gap()) >= p.k
}

func (p *stripeRead) sources(rows rowRange) int {
	n := 0
	for c := range p.columns {
		if p.columns[c].has.covers(rows) {
			n++
		}
	}
	return n
}

// decode computes the rows of the gap in the columns that are missing, and in no others, from k verified ones.
func (p *stripeRead) decode() error {
	gap := p.gap()
	shards := make([][]byte, p.n)
	for c := range p.columns {
		if column := &p.columns[c]; column.has.covers(gap) {
			shards[c] = column.data[gap.lo-column.has.lo : gap.hi-column.has.lo]
		}
	}
	want := make([]int, 0, len(p.pieces))
	for i := range p.pieces {
		piece := &p.pieces[i]
		if piece.data != nil {
			continue
		}
		buffer, err := p.take(gap.size())
		if err != nil {
			return err
		}
		piece.buffer = buffer
		shards[piece.Column] = buffer.Bytes[:0]
		want = append(want, piece.Column)
	}
	code, err := erasure.NewCode(erasure.Scheme{K: p.k, M: p.n - p.k})
	if err != nil {
		return err
	}
	if err := code.Reconstruct(shards, want); err != nil {
		return fmt.Errorf("decoding stripe %d of volume %#x: %w", p.pieces[0].Stripe, p.volume.GetId(), err)
	}
	p.decoded = true
	p.reader.metrics.decoded(len(want) * gap.size())
	for i := range p.pieces {
		if piece := &p.pieces[i]; piece.data == nil {
			p.deliver(i, shards[piece.Column][piece.Row-gap.lo:])
		}
	}
	return nil
}

// tooMuchLost ends a part whose gap nobody can fill: for good if a look at the map shows nothing new.
func (p *stripeRead) tooMuchLost() error {
	gone := 0
	var causes []error
	for c := range p.columns {
		if cause := p.columns[c].err; cause != nil && p.columns[c].state == columnLost {
			causes = append(causes, fmt.Errorf("column %d on node %q: %w", c, p.volume.GetMembers()[c].GetNode(), cause))
			if isGone(cause) {
				gone++
			}
		}
	}
	code := codes.Unavailable
	if p.n-gone < p.k {
		code = codes.DataLoss
	}
	e := fault.Wrap(errors.Join(causes...), code, typesv1.Reason_REASON_TOO_MUCH_LOST,
		"volume %#x, stripe %d: %d of %d columns can be read and %d are needed",
		p.volume.GetId(), p.pieces[0].Stripe, p.n-len(causes), p.n, p.k)
	if code == codes.Unavailable {
		e = e.WithRetryAfter(lostRetryAfter)
	}
	return &restart{volume: p.volume.GetId(), cause: e}
}

// isGone says that a chunk will not be readable later either, unless it is repaired.
func isGone(err error) bool {
	return fault.Is(err, typesv1.Reason_REASON_CHUNK_CORRUPT, typesv1.Reason_REASON_NO_SUCH_CHUNK,
		typesv1.Reason_REASON_CHUNK_STALE, typesv1.Reason_REASON_RANGE_NOT_SATISFIABLE,
		typesv1.Reason_REASON_NO_SUCH_DISK, typesv1.Reason_REASON_DISK_FAILED)
}
