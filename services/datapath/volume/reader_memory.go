package volume

import "github.com/drystone-store/drystone/services/datapath/block"

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

// take returns a buffer within the memory granted to the part. More is granted only if that needs no waiting, since
// whoever waits and holds memory could wait for others that do the same; otherwise the read gives all it has back and
// begins again with what it may need at worst.
func (p *stripeRead) take(size int) (*block.Buffer, error) {
	cost := int64(block.Footprint(size))
	if p.credit < cost {
		if !p.reader.memory.TryAcquire(cost) {
			return nil, &restart{memory: p.worstNeed()}
		}
		p.grants = append(p.grants, cost)
		p.credit += cost
	}
	p.credit -= cost
	return p.reader.pool.Get(size), nil
}

// give takes a buffer back before the part ends.
func (p *stripeRead) give(b *block.Buffer) {
	p.credit += int64(b.Cap())
	b.Release()
}
