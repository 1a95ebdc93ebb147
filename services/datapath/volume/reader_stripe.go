package volume

import (
	"context"
	"time"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// stripeRead fetches what a read needs of one stripe, under one map entry, so of one generation. One goroutine runs it
// (run) and starts one more per chunk that is asked; the reading that owns it awaits its pieces in order.
type stripeRead struct {
	reader *Reader
	owner  *reading
	volume *placementv1.Volume
	k, n   int
	pieces []wantedPiece
	// bytes is the length of all pieces.
	bytes uint64
	// fresh says that the map entry was read for this very byte: a stale chunk is a lost one then.
	fresh bool

	cancel   context.CancelFunc
	events   chan pieceEvent
	finished chan struct{}
	// Of the goroutine that runs it, until finished.
	columns []columnRead
	answers chan *attempt
	running int
	timer   *time.Timer
	// buffers hold what was delivered.
	buffers []*block.Buffer
	// grants were taken of the reader's memory, credit is what no buffer uses of them, in bytes.
	grants  []int64
	credit  int64
	decoded bool
}

// wantedPiece is a piece of the extent; data is there once it is ready.
type wantedPiece struct {
	block.Piece
	data  []byte
	ready bool // of the awaiting goroutine
}

// pieceEvent says that a piece is ready, or, with piece -1, that no more will be.
type pieceEvent struct {
	piece int
	err   error
}

type columnState uint8

const (
	columnIdle columnState = iota
	columnAsked
	// columnLate was asked and takes long: others are asked as well, but its answer is still welcome.
	columnLate
	columnLost
)

// columnRead is what is known of one column of the stripe.
type columnRead struct {
	state columnState
	// avoid says that it is asked only when the others do not suffice.
	avoid bool
	// piece is the index of the piece wanted of it, -1 for none.
	piece int
	// asked is the range that is on its way, has the range in data: verified rows.
	asked, has rowRange
	data       []byte
	// source is the buffer of data unless a piece keeps it.
	source   *block.Buffer
	deadline time.Time
	err      error
}

// rowRange is rows [lo, hi).
type rowRange struct{ lo, hi uint64 }

func (r rowRange) covers(o rowRange) bool { return r.lo <= o.lo && o.hi <= r.hi && r.lo < r.hi }

func (r rowRange) size() int { return int(r.hi - r.lo) }

func (r rowRange) hull(o rowRange) rowRange {
	if r.lo == r.hi {
		return o
	}
	return rowRange{min(r.lo, o.lo), max(r.hi, o.hi)}
}

func (w *wantedPiece) rows() rowRange { return rowRange{w.Row, w.Row + uint64(w.Length)} }

// attempt is one request to one chunk.
type attempt struct {
	column int
	rows   rowRange
	buffer *block.Buffer
	err    error
}

// newPart makes a part of the pieces that follow d.next in one stripe.
func (d *reading) newPart(volume *placementv1.Volume) (*stripeRead, error) {
	scheme, err := erasure.FromProto(volume.GetScheme())
	if err != nil || len(volume.GetMembers()) != scheme.N() {
		return nil, fault.Bug("volume %#x has scheme %v and %d members", volume.GetId(), volume.GetScheme(), len(volume.GetMembers()))
	}
	e := d.extents[d.next.extent]
	p := &stripeRead{
		reader: d.reader, owner: d, volume: volume, k: scheme.K, n: scheme.N(),
		fresh: d.refreshed[volume.GetId()], columns: make([]columnRead, scheme.N()),
	}
	length := min(d.ahead, e.GetLength()-d.next.within)
	p.pieces = make([]wantedPiece, 0, min(p.k, int(length/uint64(e.GetRun()))+2))
	for c := range p.columns {
		p.columns[c].piece = -1
	}
	for piece := range block.Pieces(e, p.k, d.next.within, length) {
		if len(p.pieces) > 0 && piece.Stripe != p.pieces[0].Stripe {
			break
		}
		p.columns[piece.Column].piece = len(p.pieces)
		p.pieces = append(p.pieces, wantedPiece{Piece: piece})
		p.bytes += uint64(piece.Length)
	}
	for c := range p.columns {
		p.columns[c].avoid = p.shouldAvoid(c)
	}
	p.events = make(chan pieceEvent, len(p.pieces)+1)
	p.answers = make(chan *attempt, p.n)
	p.finished = make(chan struct{})
	return p, nil
}

// shouldAvoid says whether a column disappointed this read, or its member others lately, or is known to be down.
func (p *stripeRead) shouldAvoid(c int) bool {
	chunk := p.chunk(c)
	if p.owner.failed.has(chunk) || p.reader.avoided.has(chunk, p.columns[c].piece >= 0) {
		return true
	}
	return p.reader.health != nil && !p.reader.health.Healthy(p.volume.GetMembers()[c])
}

// chunk names a column's chunk for memories of what failed.
func (p *stripeRead) chunk(c int) chunkKey {
	member := p.volume.GetMembers()[c]
	return chunkKey{
		node: member.GetNode(), disk: member.GetDisk(), volume: p.volume.GetId(), generation: p.volume.GetGeneration(), column: c,
		attempt: member.GetAttempt(),
	}
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

// take returns a buffer within the memory granted to the part, growing the grant only if that needs no waiting.
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

// release gives all memory back; nothing of the part runs any more.
func (p *stripeRead) release() {
	for _, b := range p.buffers {
		b.Release()
	}
	for c := range p.columns {
		if source := p.columns[c].source; source != nil {
			source.Release()
		}
	}
	p.buffers, p.columns = nil, nil
	for _, n := range p.grants {
		p.reader.memory.Release(n)
	}
	p.grants = nil
}

// awaitPiece waits until a piece is ready. Errors: why it never will be.
func (p *stripeRead) awaitPiece(i int) error {
	for !p.pieces[i].ready {
		event := <-p.events
		if event.piece < 0 {
			return event.err
		}
		p.pieces[event.piece].ready = true
	}
	return nil
}

// run fetches everything, then ends what it started and no longer needs.
func (p *stripeRead) run(ctx context.Context) {
	defer close(p.finished)
	p.events <- pieceEvent{piece: -1, err: p.gather(ctx)}
	p.cancel()
	for p.running > 0 {
		a := <-p.answers
		p.running--
		p.give(a.buffer)
	}
	if p.timer != nil {
		p.timer.Stop()
	}
}

// gather asks the chunks that hold the pieces, and others for what those do not give.
func (p *stripeRead) gather(ctx context.Context) error {
	for i := range p.pieces {
		c := p.pieces[i].Column
		if p.columns[c].avoid {
			continue
		}
		p.reader.detours.earn()
		if err := p.ask(ctx, c, p.pieces[i].rows()); err != nil {
			return err
		}
	}
	for p.missing() > 0 {
		if err := p.substitute(ctx); err != nil {
			return err
		}
		if p.decodable() {
			return p.decode()
		}
		if p.running == 0 {
			return p.tooMuchLost()
		}
		if err := p.await(ctx); err != nil {
			return err
		}
	}
	return nil
}

// missing counts the pieces that have no data.
func (p *stripeRead) missing() int {
	n := 0
	for i := range p.pieces {
		if p.pieces[i].data == nil {
			n++
		}
	}
	return n
}

// ask requests rows of a column.
func (p *stripeRead) ask(ctx context.Context, c int, rows rowRange) error {
	buffer, err := p.take(rows.size())
	if err != nil {
		return err
	}
	member := p.volume.GetMembers()[c]
	ref := &chunkv1.ChunkRef{
		Volume: p.volume.GetId(), Generation: p.volume.GetGeneration(), Column: uint32(c),
		Attempt: member.GetAttempt(), Disk: member.GetDisk(),
	}
	column := &p.columns[c]
	column.state, column.asked, column.deadline = columnAsked, rows, clock.Now().Add(p.reader.timeout)
	a := &attempt{column: c, rows: rows, buffer: buffer}
	p.running++
	go func() {
		a.err = p.reader.chunks.Read(ctx, member, ref, rows.lo, buffer.Bytes)
		p.answers <- a // has room for every column, and a column is asked again only when it has answered
	}()
	return nil
}

// await takes the next answer, or notices that some take long.
func (p *stripeRead) await(ctx context.Context) error {
	var slow <-chan time.Time
	if deadline, ok := p.earliest(); ok {
		if p.timer == nil {
			p.timer = time.NewTimer(deadline.Sub(clock.Now()))
		} else {
			p.timer.Reset(deadline.Sub(clock.Now()))
		}
		slow = p.timer.C
	}
	select {
	case a := <-p.answers:
		p.running--
		return p.receive(ctx, a)
	case <-slow:
		p.markLate()
		return nil
	case <-ctx.Done():
		return fault.FromContext(ctx.Err())
	}
}

// earliest is when the next column that was asked becomes late.
func (p *stripeRead) earliest() (deadline time.Time, ok bool) {
	for c := range p.columns {
		column := &p.columns[c]
		if column.state == columnAsked && (!ok || column.deadline.Before(deadline)) {
			deadline, ok = column.deadline, true
		}
	}
	return deadline, ok
}

// receive takes in an answer, also one that comes late.
func (p *stripeRead) receive(ctx context.Context, a *attempt) error {
	column := &p.columns[a.column]
	if a.err != nil {
		p.give(a.buffer)
		if ctx.Err() != nil {
			return fault.FromContext(ctx.Err())
		}
		return p.lose(a.column, a.err)
	}
	if column.state == columnAsked {
		p.reader.avoided.clear(p.chunk(a.column))
	}
	column.state = columnIdle
	if column.source != nil {
		p.give(column.source)
	}
	column.source, column.has = a.buffer, a.rows
	if i := column.piece; i >= 0 && p.pieces[i].data == nil && a.rows.covers(p.pieces[i].rows()) {
		// The piece keeps the buffer; it stays good as a source.
		p.buffers, column.source = append(p.buffers, a.buffer), nil
		p.deliver(i, a.buffer.Bytes[p.pieces[i].Row-a.rows.lo:])
	}
	column.data = a.buffer.Bytes
	return nil
}

// deliver hands a piece's data to whoever awaits it.
func (p *stripeRead) deliver(i int, data []byte) {
	piece := &p.pieces[i]
	piece.data = data[:piece.Length:piece.Length]
	p.events <- pieceEvent{piece: i}
}
