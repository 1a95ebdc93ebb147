package volume

import (
	"context"

	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/kit/limit"
)

const (
	// smallRead is what a read wants at most, in bytes, to draw on the memory for small reads: what fits into a batch
	// whole. They are nearly all reads, and cost so little that none should wait behind streams.
	smallRead = 256 << 10
	// smallShare of the memory is for small reads: one in so many bytes.
	smallShare = 8
)

// ReaderMemory is a budget of bytes shared by all reads; *limit.Bytes is one.
type ReaderMemory interface {
	Acquire(ctx context.Context, n int64) error
	// TryAcquire must fail while others wait.
	TryAcquire(n int64) bool
	Release(n int64)
	Budget() int64
	Reserve(n int64) (*limit.Bytes, error)
}

// reserveSmall takes the small reads' part; nil if the budget is too small to share.
func reserveSmall(memory ReaderMemory) (ReaderMemory, error) {
	part := memory.Budget() / smallShare
	if part < smallRead {
		return nil, nil //nolint:nilnil // none is what there is
	}
	return memory.Reserve(part) //nolint:wrapcheck // says what it is about
}

// firstNeed is the memory to begin with, in bytes: the pieces, and what decoding takes if it is known to come.
func (p *stripeRead) firstNeed() int64 {
	need, decode := int64(0), rowRange{}
	for i := range p.pieces {
		piece := &p.pieces[i]
		need += int64(block.Footprint(piece.Length))
		if p.columns[piece.Column].avoid {
			decode = decode.hull(piece.rows())
		}
	}
	if decode.size() > 0 {
		need += int64(p.n-len(p.pieces)) * int64(block.Footprint(decode.size()))
	}
	return need
}

// worstNeed is the memory that suffices whatever fails: every piece, and every column of the stripe twice more over all
// rows in question: an answer that comes late and what is computed in its place, or two sources, one wider.
func (p *stripeRead) worstNeed() int64 {
	all := rowRange{}
	for i := range p.pieces {
		all = all.hull(p.pieces[i].rows())
	}
	return p.firstNeed() + 2*int64(p.n)*int64(block.Footprint(all.size()))
}

// acquire takes the first memory of a part and waits for it, but not for long. Errors: OVERLOADED with a retry delay;
// the context's.
func (p *stripeRead) acquire(ctx context.Context, need int64) error {
	if p.tryAcquire(need) {
		return nil
	}
	if err := acquire(ctx, p.memory, need, memoryPatience); err != nil {
		return err
	}
	p.granted(need)
	return nil
}

// tryAcquire takes the first memory of a part if it is free. It decides which budget the part lives on, or waits for: a
// small read has one of its own, and uses the other one only when its own is full and nobody waits for the other.
func (p *stripeRead) tryAcquire(need int64) bool {
	r := p.reader
	p.memory = r.memory
	if !p.owner.small || r.small == nil || need > r.small.Budget() {
		return p.grow(need)
	}
	if r.small.TryAcquire(need) {
		p.memory = r.small
		p.granted(need)
		return true
	}
	if p.grow(need) {
		return true
	}
	p.memory = r.small
	return false
}

// grow takes more memory if it is free.
func (p *stripeRead) grow(n int64) bool {
	if !p.memory.TryAcquire(n) {
		return false
	}
	p.granted(n)
	return true
}

// granted takes in what the budget gave: of a request above all of it no more than that.
func (p *stripeRead) granted(n int64) {
	p.nominal += n
	p.held += min(n, p.memory.Budget())
	p.credit += n
}

// take returns a buffer within the memory granted to the part. More is granted only if that needs no waiting, since
// whoever waits and holds memory could wait for others that do the same; otherwise the read gives all it has back and
// begins again with what it may need at worst.
func (p *stripeRead) take(size int) (*block.Buffer, error) {
	cost := int64(block.Footprint(size))
	if p.credit < cost && !p.grow(cost) {
		return nil, &restart{memory: p.worstNeed()}
	}
	p.credit -= cost
	return p.reader.pool.Get(size), nil
}

// give takes a buffer back before the part ends.
func (p *stripeRead) give(b *block.Buffer) {
	p.credit += int64(b.Cap())
	b.Release()
}

// settle gives back what only fetching needed; nothing runs any more.
func (p *stripeRead) settle() {
	for c := range p.columns {
		if source := p.columns[c].source; source != nil {
			p.columns[c].source = nil
			p.give(source)
		}
	}
	p.repay()
}

// shed gives back the pieces up to the i-th, which were emitted, unless the runner may still decode from them: a client
// that takes its time holds what it has not taken yet, and no more.
func (p *stripeRead) shed(i int) {
	if !p.settled.Load() {
		return
	}
	for j := range i + 1 {
		if buffer := p.pieces[j].buffer; buffer != nil {
			p.pieces[j].buffer = nil
			p.give(buffer)
		}
	}
	p.repay()
}

// repay gives unused memory back to the budget.
func (p *stripeRead) repay() {
	p.nominal -= p.credit
	p.credit = 0
	if p.held > p.nominal {
		p.memory.Release(p.held - p.nominal)
		p.held = p.nominal
	}
}
