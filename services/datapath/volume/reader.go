package volume

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/fault"
)

const (
	// DefaultAttemptTimeout is how long a member may take for at most 1 MiB before its rows are computed from others
	// as well: far above what a busy healthy disk takes, far below what a person waits.
	DefaultAttemptTimeout = time.Second

	// lostPatience bounds how long a read waits for members that are away; with a breaker's second and a connection's
	// backoff of a second, nodes that are back are asked again within it.
	lostPatience = 3 * time.Second
	// lostPause is the time between two tries meanwhile.
	lostPause = 200 * time.Millisecond

	// readStripes bounds what one read fetches ahead, in stripes of data: one is emitted while the next one comes.
	readStripes = 2
	// readParts bounds the same for short extents, in requests for parts of stripes.
	readParts = 8
)

// ReaderMap says where volumes are; *nodes.Map is one.
type ReaderMap interface {
	// Volume returns the entry of a volume, perhaps an old one. Errors: NO_SUCH_VOLUME.
	Volume(ctx context.Context, id uint64) (*placementv1.Volume, error)
	// Refresh returns the entry as it is now.
	Refresh(ctx context.Context, id uint64) (*placementv1.Volume, error)
}

// ChunkReader reads from chunk-servers; *peers.Peers is one.
type ChunkReader interface {
	// Read returns len(dst) rows of a column that lie in one block, zeros included, verified against their checksums, and
	// somewhere in dst, which it uses up to its capacity. It has a deadline of its own, and leaves dst alone once it has
	// returned.
	Read(ctx context.Context, member *placementv1.Member, ref *chunkv1.ChunkRef, row uint64, dst []byte) ([]byte, error)
}

// MemberHealth says whom to ask first.
type MemberHealth interface {
	// Healthy says whether the member's node and disk are up as far as anybody knows.
	Healthy(member *placementv1.Member) bool
}

// ReaderOptions configure a Reader.
type ReaderOptions struct {
	// Memory bounds the buffers of all reads together; required, and this Reader's alone, which reserves an eighth of it
	// for small reads. The rest should hold two stripes of the widest scheme: with less, reads run one after the other.
	Memory ReaderMemory
	// Pool gives the buffers; required.
	Pool *block.Pool
	// Health may be nil: everybody is asked until they fail.
	Health MemberHealth
	// Metrics may be nil.
	Metrics prometheus.Registerer
	// AttemptTimeout is DefaultAttemptTimeout if it is 0.
	AttemptTimeout time.Duration
}

// Reader reads bytes of volumes, around members that are gone, slow or damaged as long as k columns are left. It is
// safe for concurrent use.
type Reader struct {
	volumes ReaderMap
	chunks  ChunkReader
	health  MemberHealth
	memory  ReaderMemory
	// small is the part of the memory that was reserved for small reads; nil if there is too little to share.
	small   ReaderMemory
	pool    *block.Pool
	timeout time.Duration
	avoided *avoided
	detours *detourBudget
	metrics *readerMetrics
	// parts keeps stripeReads for use again.
	parts sync.Pool
}

// NewReader makes a Reader. Errors: a required option is missing, or metrics are registered already.
func NewReader(volumes ReaderMap, chunks ChunkReader, o ReaderOptions) (*Reader, error) {
	if o.Memory == nil || o.Pool == nil {
		return nil, errors.New("making a volume reader: it needs a memory budget and a pool")
	}
	metrics, err := newReaderMetrics(o.Metrics)
	if err != nil {
		return nil, fmt.Errorf("making a volume reader: %w", err)
	}
	if o.AttemptTimeout == 0 {
		o.AttemptTimeout = DefaultAttemptTimeout
	}
	small, err := reserveSmall(o.Memory)
	if err != nil {
		return nil, fmt.Errorf("making a volume reader: %w", err)
	}
	return &Reader{
		volumes: volumes, chunks: chunks, health: o.Health, memory: o.Memory, small: small, pool: o.Pool, timeout: o.AttemptTimeout,
		avoided: newAvoided(o.AttemptTimeout), detours: newDetourBudget(), metrics: metrics,
	}, nil
}

// Read hands the bytes [offset, offset+length) of the extents' concatenation to emit, in order and in slices of at
// most 1 MiB. A slice is valid during its call only and must not be changed. An error of emit ends the read and comes
// back as it is. No goroutine of the read is left when it returns.
//
// Errors: TOO_MUCH_LOST (DATA_LOSS when columns are gone or damaged for good, UNAVAILABLE with a delay when members may
// come back); NO_SUCH_VOLUME: ask metadata for the same version again; RANGE_NOT_SATISFIABLE beyond the extents' end;
// OVERLOADED, with a delay when no memory came free in time, also after bytes were emitted; the context's; those of the
// map.
func (r *Reader) Read(
	ctx context.Context, extents []*typesv1.Extent, offset, length int64, emit func([]byte) error,
) error {
	d := &reading{reader: r, ctx: ctx, extents: extents, emit: emit}
	d.queue = d.room[:0]
	if err := d.seek(offset, length); err != nil {
		return err
	}
	r.metrics.reads.Inc()
	defer d.drop()
	for d.left > 0 {
		if err := d.step(); err != nil {
			return err
		}
	}
	return nil
}

// position is a byte in a list of extents.
type position struct {
	extent int
	within uint64
}

// reading is one call of Read. Its goroutine builds parts, emits them and restarts; parts fetch themselves.
type reading struct {
	reader  *Reader
	ctx     context.Context //nolint:containedctx // the value lives as long as the call
	extents []*typesv1.Extent
	emit    func([]byte) error

	// at is the first byte that was not emitted, left what is to come from there.
	at   position
	left uint64
	// next and ahead are the same for the first byte that no part of the queue covers.
	next  position
	ahead uint64

	queue []*stripeRead
	room  [readParts]*stripeRead // of queue
	// small: it draws on the memory for small reads first.
	small bool
	// wanted is the memory that the next part has to begin with, in bytes.
	wanted int64
	// refreshed names the volume whose entry was read anew since the last byte was emitted.
	refreshed map[uint64]bool
	// lostSince is when the first byte that was not emitted was first found to be lost, zero if it was not.
	lostSince   time.Time
	wasDegraded bool
	// failed are the chunks that failed this read: later stripes ask them last.
	failed failedChunks
}

// seek checks the request and finds its first byte.
func (d *reading) seek(offset, length int64) error {
	if offset < 0 || length < 0 {
		return fault.Bug("reading %d bytes at %d", length, offset)
	}
	skip, total := uint64(offset), uint64(0)
	found := false
	for i, e := range d.extents {
		if !block.CheckExtent(e) {
			return fault.Bug("extent %d is malformed: %v", i, e)
		}
		if !found && skip < total+e.GetLength() {
			d.at, found = position{extent: i, within: skip - total}, true
		}
		total += e.GetLength()
	}
	if skip > total || uint64(length) > total-skip {
		return fault.New(codes.OutOfRange, typesv1.Reason_REASON_RANGE_NOT_SATISFIABLE,
			"bytes %d to %d of %d", offset, offset+length, total)
	}
	d.left, d.small = uint64(length), length <= smallRead
	d.next, d.ahead = d.at, d.left
	return nil
}

// advance moves a position by n bytes of its extent.
func (d *reading) advance(p position, n uint64) position {
	p.within += n
	for p.extent < len(d.extents) && p.within >= d.extents[p.extent].GetLength() {
		p = position{extent: p.extent + 1}
	}
	return p
}

// step fetches ahead, emits the part in front, and begins again from the last emitted byte when that part asks for it.
func (d *reading) step() error {
	if err := d.fetchAhead(); err != nil {
		return err
	}
	front := d.queue[0]
	err := d.emitPart(front)
	var again *restart
	if errors.As(err, &again) {
		return d.restart(again)
	}
	if err != nil {
		return err
	}
	d.queue = slices.Delete(d.queue, 0, 1)
	d.free(front)
	return nil
}

// emitPart emits the pieces of a part as they become ready, in order.
func (d *reading) emitPart(p *stripeRead) error {
	for i := range p.pieces {
		if err := p.awaitPiece(i); err != nil {
			return err
		}
		piece := &p.pieces[i]
		if err := d.emit(piece.data); err != nil {
			return err
		}
		n := uint64(piece.Length)
		d.at, d.left = d.advance(d.at, n), d.left-n
		d.reader.metrics.bytes.Add(float64(n))
		if len(d.refreshed) > 0 {
			clear(d.refreshed)
			d.lostSince = time.Time{}
		}
		p.shed(i)
	}
	return nil
}

// fetchAhead starts parts until enough are under way. Only the first one waits for memory: whoever holds some and
// waited for more could wait for others that do the same.
func (d *reading) fetchAhead() error {
	queued := uint64(0)
	for _, p := range d.queue {
		queued += p.bytes
	}
	for d.ahead > 0 && len(d.queue) < readParts {
		first := len(d.queue) == 0
		volume, err := d.reader.volumes.Volume(d.ctx, d.extents[d.next.extent].GetVolume())
		if err != nil {
			if !first {
				return nil // the error is due when its turn comes
			}
			return fmt.Errorf("finding volume %#x: %w", d.extents[d.next.extent].GetVolume(), err)
		}
		p, err := d.newPart(volume)
		if err != nil {
			return err
		}
		if queued+p.bytes > readStripes*uint64(p.k)*block.Size {
			p.release()
			return nil
		}
		if started, err := d.start(p, first); !started {
			p.release()
			return err
		}
		queued += p.bytes
	}
	return nil
}

// start takes the memory for a part, puts it into the queue and sets it going. It says false with an error when the
// context ended or the first part's memory did not come in time, without one when memory is short for a further part.
func (d *reading) start(p *stripeRead, first bool) (bool, error) {
	if first {
		need := max(p.firstNeed(), d.wanted)
		d.wanted = 0
		if err := p.acquire(d.ctx, need); err != nil {
			return false, err
		}
	} else if !p.tryAcquire(p.firstNeed()) {
		return false, nil
	}
	d.queue = append(d.queue, p)
	d.next, d.ahead = d.advance(d.next, p.bytes), d.ahead-p.bytes
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(d.ctx)
	p.done.Add(1)
	if first && d.ahead == 0 && len(p.pieces) == 1 {
		p.run(ctx) // a small object: there is nothing to do meanwhile
	} else {
		go p.run(ctx)
	}
	return true, nil
}

// restart drops what is under way and goes back to the first byte that was not emitted.
func (d *reading) restart(again *restart) error {
	d.drop()
	d.next, d.ahead = d.at, d.left
	d.wanted = again.memory
	if again.volume == 0 {
		return nil
	}
	if again.cause != nil && d.refreshed[again.volume] && !d.patient(again.cause) {
		return again.cause
	}
	d.reader.metrics.refreshes.Inc()
	if _, err := d.reader.volumes.Refresh(d.ctx, again.volume); err != nil {
		return fmt.Errorf("reading the map entry of volume %#x again: %w", again.volume, err)
	}
	if d.refreshed == nil {
		d.refreshed = make(map[uint64]bool)
	}
	d.refreshed[again.volume] = true
	return nil
}

// patient waits a moment when too many members are away that may come back: restarts of several nodes overlap, and a
// breaker keeps a node out for a second after it is back. It says false when that has taken long enough, and for errors
// that waiting does not mend.
func (d *reading) patient(cause error) bool {
	if fault.Code(cause) != codes.Unavailable {
		return false
	}
	now := clock.Now()
	if d.lostSince.IsZero() {
		d.lostSince = now
	}
	if now.Sub(d.lostSince) > lostPatience {
		return false
	}
	pause := time.NewTimer(lostPause)
	defer pause.Stop()
	select {
	case <-pause.C:
		return true
	case <-d.ctx.Done():
		return false
	}
}

// drop ends all parts of the queue and waits for them.
func (d *reading) drop() {
	for _, p := range d.queue {
		p.cancel()
	}
	for _, p := range d.queue {
		d.free(p)
	}
	d.queue = d.queue[:0]
}

// free waits until nothing of a part runs and gives its memory back.
func (d *reading) free(p *stripeRead) {
	p.done.Wait()
	if p.decoded && !d.wasDegraded {
		d.wasDegraded = true
		d.reader.metrics.degraded.Inc()
	}
	p.release()
}

// restart is how a part asks to begin again, with the fresh map entry of a volume or with more memory. It never leaves
// Read.
type restart struct {
	volume uint64
	memory int64
	// cause is what to answer if the entry was read for this very byte already.
	cause error
}

func (r *restart) Error() string {
	return fmt.Sprintf("begin again with map entry %#x and %d bytes: %v", r.volume, r.memory, r.cause)
}

// Unwrap is the cause.
func (r *restart) Unwrap() error { return r.cause }
