package volume

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// stripeRead fetches what a read needs of one stripe, under one map entry, so of one generation. One goroutine runs it
// (run) and starts one more per chunk that is asked; the reading that owns it awaits its pieces in order. It is used
// again for another stripe when it has been released.
type stripeRead struct {
	reader *Reader
	owner  *reading
	volume *placementv1.Volume
	k, n   int
	pieces []wantedPiece
	// bytes is the length of all pieces.
	bytes uint64
	// fresh says that the map entry was read just before: a chunk that is stale all the same is a lost one.
	fresh bool

	cancel context.CancelFunc
	// events has room for every piece and the end, so the runner never waits for the reading.
	events chan pieceEvent
	done   sync.WaitGroup

	// What follows is the runner's until done.

	columns []columnRead
	// answers has room for every column: each has one request under way at most.
	answers chan answer
	running int
	timer   *time.Timer
	decoded bool
	// memory is the budget that the part lives on. nominal is what was asked of it, in bytes, held what it gave, which is
	// less when that was more than all of it; credit is the part of nominal that no buffer uses.
	memory                ReaderMemory
	nominal, held, credit int64
	// settled: the runner has ended, what is above is the reading's.
	settled atomic.Bool
}

// wantedPiece is a piece of the extent; data, which lies in buffer, is there once it is ready.
type wantedPiece struct {
	block.Piece
	data   []byte
	buffer *block.Buffer
	ready  bool // the reading's
}

func (w *wantedPiece) rows() rowRange { return rowRange{w.Row, w.Row + uint64(w.Length)} }

// pieceEvent says that a piece is ready, or, with piece -1, that no more will be.
type pieceEvent struct {
	piece int
	err   error
}

// answer ends the request to a column.
type answer struct {
	column int
	data   []byte
	err    error
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
	// avoid says that it is asked only when the others do not suffice; it holds for columns of which a piece is wanted.
	avoid bool
	// piece is the index of the piece wanted of it, -1 for none.
	piece int
	// asked is the range that is on its way into pending, and late when it has taken too long.
	asked   rowRange
	pending *block.Buffer
	late    time.Time
	// has is the range of verified rows in data.
	has  rowRange
	data []byte
	// source is the buffer of data unless a piece keeps it.
	source *block.Buffer
	err    error
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

// newPart makes a part of the pieces that follow d.next in one stripe.
func (d *reading) newPart(volume *placementv1.Volume) (*stripeRead, error) {
	scheme, err := erasure.FromProto(volume.GetScheme())
	if err != nil || len(volume.GetMembers()) != scheme.N() {
		return nil, fault.Bug("volume %#x has scheme %v and %d members", volume.GetId(), volume.GetScheme(), len(volume.GetMembers()))
	}
	p, _ := d.reader.parts.Get().(*stripeRead)
	if p == nil {
		p = &stripeRead{
			reader: d.reader,
			events: make(chan pieceEvent, erasure.MaxK+1), answers: make(chan answer, erasure.MaxK+erasure.MaxM),
		}
	}
	p.owner, p.volume, p.k, p.n, p.fresh = d, volume, scheme.K, scheme.N(), d.refreshed[volume.GetId()]
	for range p.n {
		p.columns = append(p.columns, columnRead{piece: -1})
	}
	e := d.extents[d.next.extent]
	for piece := range block.Pieces(e, p.k, d.next.within, min(d.ahead, e.GetLength()-d.next.within)) {
		if len(p.pieces) > 0 && piece.Stripe != p.pieces[0].Stripe {
			break
		}
		p.columns[piece.Column].piece = len(p.pieces)
		p.columns[piece.Column].avoid = p.shouldAvoid(piece.Column, true)
		p.pieces = append(p.pieces, wantedPiece{Piece: piece})
		p.bytes += uint64(piece.Length)
	}
	return p, nil
}

// shouldAvoid says whether a column failed this read, or its member others lately, or is known to be down.
func (p *stripeRead) shouldAvoid(c int, willAsk bool) bool {
	chunk := p.chunk(c)
	if p.owner.failed.has(chunk) || p.reader.avoided.has(chunk, willAsk) {
		return true
	}
	return p.reader.health != nil && !p.reader.health.Healthy(p.volume.GetMembers()[c])
}

// chunk names a column's chunk for memories of what failed.
func (p *stripeRead) chunk(c int) chunkKey {
	member := p.volume.GetMembers()[c]
	return chunkKey{
		node: member.GetNode(), disk: member.GetDisk(), volume: p.volume.GetId(), generation: p.volume.GetGeneration(),
		column: c, attempt: member.GetAttempt(),
	}
}

// release gives all memory and the part itself back; nothing of it runs any more.
func (p *stripeRead) release() {
	for i := range p.pieces {
		if buffer := p.pieces[i].buffer; buffer != nil {
			buffer.Release()
		}
	}
	for c := range p.columns {
		if source := p.columns[c].source; source != nil {
			source.Release()
		}
	}
	if p.held > 0 {
		p.memory.Release(p.held)
	}
	for len(p.events) > 0 {
		<-p.events
	}
	clear(p.pieces)
	clear(p.columns)
	p.pieces, p.columns = p.pieces[:0], p.columns[:0]
	p.owner, p.volume, p.cancel, p.bytes, p.decoded = nil, nil, nil, 0, false
	p.memory, p.nominal, p.held, p.credit = nil, 0, 0, 0
	p.settled.Store(false)
	p.reader.parts.Put(p)
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
	defer p.done.Done()
	p.events <- pieceEvent{piece: -1, err: p.gather(ctx)}
	p.cancel()
	if p.timer != nil {
		p.timer.Stop()
	}
	for p.running > 0 {
		a := <-p.answers
		p.running--
		p.give(p.columns[a.column].pending)
	}
	p.settle()
	p.settled.Store(true)
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
	for p.missing() {
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

// missing says whether a piece has no data.
func (p *stripeRead) missing() bool {
	for i := range p.pieces {
		if p.pieces[i].data == nil {
			return true
		}
	}
	return false
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
	column.state, column.asked, column.pending = columnAsked, rows, buffer
	column.late = clock.Now().Add(p.reader.timeout)
	p.running++
	go func() {
		data, err := p.reader.chunks.Read(ctx, member, ref, rows.lo, buffer.Bytes)
		p.answers <- answer{column: c, data: data, err: err}
	}()
	return nil
}

// await takes the next answer, or notices that some take long.
func (p *stripeRead) await(ctx context.Context) error {
	var slow <-chan time.Time
	if late, ok := p.earliest(); ok {
		wait := late.Sub(clock.Now())
		if p.timer == nil {
			p.timer = time.NewTimer(wait)
		} else {
			p.timer.Reset(wait)
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
func (p *stripeRead) earliest() (late time.Time, ok bool) {
	for c := range p.columns {
		column := &p.columns[c]
		if column.state == columnAsked && (!ok || column.late.Before(late)) {
			late, ok = column.late, true
		}
	}
	return late, ok
}

// receive takes in an answer, also one that comes late.
func (p *stripeRead) receive(ctx context.Context, a answer) error {
	column := &p.columns[a.column]
	buffer := column.pending
	column.pending = nil
	if a.err != nil {
		p.give(buffer)
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
	column.source, column.has, column.data = buffer, column.asked, a.data
	if i := column.piece; i >= 0 && p.pieces[i].data == nil && column.has.covers(p.pieces[i].rows()) {
		// The piece keeps the buffer; it stays good as a source.
		p.pieces[i].buffer, column.source = buffer, nil
		p.deliver(i, column.data[p.pieces[i].Row-column.has.lo:])
	}
	return nil
}

// deliver hands a piece's data to whoever awaits it.
func (p *stripeRead) deliver(i int, data []byte) {
	piece := &p.pieces[i]
	piece.data = data[:piece.Length:piece.Length]
	p.events <- pieceEvent{piece: i}
}
