package volume

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/datapath/record"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/fault"
)

const (
	// batchRecords bounds a batch: laying it out and telling everybody takes a millisecond then, about what a sync
	// takes.
	batchRecords = 1024
	// batchesInFlight bounds full batches on their way. One that is not full waits for the one before it: what gathers
	// meanwhile shares its sync.
	batchesInFlight = 4
	// parcelAttempts bounds how often a record joins a batch.
	parcelAttempts = 3

	// manyExpected announced uploads are worth waiting for; fewer never delay anybody.
	manyExpected = 16
	// shrinkShare of the batch before is what a batch wants to grow to while records keep coming: so a burst that
	// trickles in does not pay a sync for each trickle.
	shrinkShare = 2
	// gatherSlice is how long a batch waits for the next record; when none comes it goes.
	gatherSlice = 500 * time.Microsecond
	// gatherShare of the recent time to be durable, within gatherLeast and gatherMost, bounds the wait in all.
	gatherShare = 1
	gatherLeast = 5 * time.Millisecond
	gatherMost  = 10 * time.Millisecond
	// crowd is when a batch waits longer, crowdMost in all and crowdSlice for the next record: behind so many uploads each
	// waits for the disks far longer than that, and fewer syncs let all of them through sooner. Where a crowd shares few
	// processors, records stay away for milliseconds that come all the same.
	crowd      = 128
	crowdMost  = 40 * time.Millisecond
	crowdSlice = 3 * time.Millisecond
)

// Pack makes a small payload durable, together with others that come at the same time, and returns when it is. The
// header says whose bytes they are; kind, cluster id and time of making are filled in when they are missing. The
// payload must not change until Pack returns. That may be later than ctx ends, by the few seconds that bound an append,
// once the payload is in a batch; it may be durable then all the same.
// Errors: NOT_ENOUGH_DISKS, UNAVAILABLE, SHUTTING_DOWN (all with a retry delay); INVALID_SCHEME; OBJECT_TOO_LARGE when
// it does not fit into a stripe; ctx's.
func (w *Writer) Pack(
	ctx context.Context, scheme erasure.Scheme, header *typesv1.RecordHeader, payload []byte,
) (Placed, error) {
	l, err := w.lane(typesv1.VolumeClass_VOLUME_CLASS_PACKED, scheme)
	if err != nil {
		return Placed{}, err
	}
	p := &parcel{header: w.complete(header, typesv1.RecordKind_RECORD_KIND_OBJECT), payload: payload, done: make(chan struct{})}
	// Nearly all payloads stay whole; framing them here spreads the work over the callers.
	p.framed, err = record.Append(nil, p.header, uint64(len(payload)), uint32(min(max(len(payload), 1), block.Size)))
	if err != nil {
		return Placed{}, fmt.Errorf("packing: %w", err)
	}
	return l.pack.put(ctx, p)
}

// complete copies a header and fills in what the writer knows.
func (w *Writer) complete(header *typesv1.RecordHeader, kind typesv1.RecordKind) *typesv1.RecordHeader {
	h, _ := proto.Clone(header).(*typesv1.RecordHeader)
	if h.GetKind() == typesv1.RecordKind_RECORD_KIND_UNSPECIFIED {
		h.Kind = kind
	}
	if h.GetClusterId() == "" {
		h.ClusterId = w.topology.Snapshot().ClusterID()
	}
	if h.GetCreatedMs() == 0 {
		h.CreatedMs = clock.UnixMilli()
	}
	return h
}

// parcel is a record on its way into a batch.
type parcel struct {
	header  *typesv1.RecordHeader
	framed  []byte // for a payload that stays whole
	payload []byte
	// attempts counts the batches it was in; its packer's mu guards it.
	attempts int

	// done is closed when placed or err is set.
	done   chan struct{}
	placed Placed
	err    error
}

func (p *parcel) item() block.Item { return block.Item{Header: len(p.framed), Payload: len(p.payload)} }

func (p *parcel) fail(err error) {
	p.err = err
	close(p.done)
}

// packer gathers parcels into batches: while one is made durable the next one gathers; when none is on its way a lone
// parcel goes at once. One worker sends batch after batch; others come for as long as batches are full.
type packer struct {
	lane *lane
	// wake tells the first worker that something changed.
	wake chan struct{}

	mu       sync.Mutex
	gathered []*parcel
	bytes    int // of gathered payloads
	arrivals int // counts puts
	last     int // records in the last batch, or half of what it was before it
	inFlight int
	workers  int
	stopped  bool
}

func newPacker(l *lane) *packer { return &packer{lane: l, wake: make(chan struct{}, 1)} }

// put waits for a parcel's fate.
func (p *packer) put(ctx context.Context, c *parcel) (Placed, error) {
	if !p.add(c) {
		return Placed{}, fault.New(codes.Unavailable, typesv1.Reason_REASON_SHUTTING_DOWN, "the writer stops")
	}
	select {
	case <-c.done:
		return c.placed, c.err
	case <-ctx.Done():
	}
	if p.withdraw(c) {
		return Placed{}, gaveUp(ctx)
	}
	<-c.done // its payload is being read
	return c.placed, c.err
}

func (p *packer) add(c *parcel) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped || p.workers == 0 && !p.hire(p.work) {
		return false
	}
	p.gathered = append(p.gathered, c)
	p.bytes += len(c.payload)
	p.arrivals++
	if p.inFlight == 0 {
		p.signal()
	} else if p.ready() && p.workers <= p.inFlight {
		p.hire(p.help)
	}
	return true
}

// hire starts a worker. mu is held.
func (p *packer) hire(work func(context.Context)) bool {
	if !p.lane.w.crew.start(work) {
		return false
	}
	p.workers++
	return true
}

// stop ends the first worker once nothing is gathered.
func (p *packer) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	p.signal()
}

// withdraw takes a parcel back that no batch has taken.
func (p *packer) withdraw(c *parcel) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.gathered, c)
	if i < 0 {
		return false
	}
	p.gathered = slices.Delete(p.gathered, i, i+1)
	p.bytes -= len(c.payload)
	return true
}

func (p *packer) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// work is the first worker: it sends batches until the packer is stopped.
func (p *packer) work(ctx context.Context) {
	for {
		for p.claim() {
			p.send(ctx)
		}
		if p.done() {
			return
		}
		<-p.wake // a parcel, the end of a batch, or of the packer
	}
}

// help sends batches while there are more than the others can take.
func (p *packer) help(ctx context.Context) {
	for p.claim() {
		p.send(ctx)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.workers--
}

// ready says that a batch should go now. mu is held.
func (p *packer) ready() bool {
	full := p.bytes >= p.lane.key.scheme.K*block.Size || len(p.gathered) >= batchRecords
	return len(p.gathered) > 0 && (p.inFlight == 0 || full && p.inFlight < batchesInFlight)
}

// claim takes the next batch on; its worker must send it.
func (p *packer) claim() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ready() {
		return false
	}
	p.inFlight++
	return true
}

// done says that the first worker can go.
func (p *packer) done() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.stopped || len(p.gathered) > 0 {
		return false
	}
	p.workers--
	return true
}

// linger lets the many that were announced, or that came to the last batch, catch up with the few that are here.
func (p *packer) linger(ctx context.Context) {
	w := p.lane.w
	slice, bound := gatherSlice, min(gatherMost, max(gatherLeast, gatherShare*w.latency(p.lane.key.class).Median()))
	begin := clock.Now()
	for {
		here, last, arrivals := p.look()
		expected := int(w.announced.Load())
		if here+expected >= crowd {
			slice, bound = crowdSlice, crowdMost
		}
		if clock.Since(begin) >= bound {
			return
		}
		if here >= batchRecords || expected < max(manyExpected, here/4) && here >= last/shrinkShare {
			return
		}
		timer := time.NewTimer(slice)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		if p.calm(arrivals) {
			return // they are slow to come: nobody waits for a slow client
		}
	}
}

// calm says that nobody came since the count of arrivals was taken; then a burst is over.
func (p *packer) calm(arrivals int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.arrivals != arrivals {
		return false
	}
	p.last = 0
	return true
}

func (p *packer) look() (here, last, arrivals int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.gathered), p.last, p.arrivals
}

// send makes one batch durable and tells its parcels.
func (p *packer) send(ctx context.Context) {
	p.linger(ctx)
	b := &batch{packer: p}
	f, err := p.lane.append(ctx, b)
	if err == nil {
		p.lane.w.metrics.records.Observe(float64(len(b.parcels)))
		f, err = p.lane.put(ctx, b, f)
	}
	switch {
	case err == nil:
		b.resolve(f)
	case errors.Is(err, errEmpty):
	case errors.Is(err, errUnfit): // it moved to a volume of smaller stripes
		p.regather(b)
	case b.parcels == nil: // no volume can be had
		p.failGathered(err)
	default:
		b.fail(err)
	}
	p.mu.Lock()
	p.inFlight--
	p.mu.Unlock()
	p.signal()
}

// failGathered fails everything that waits: no volume can be had.
func (p *packer) failGathered(err error) {
	p.mu.Lock()
	gathered := p.gathered
	p.gathered, p.bytes = nil, 0
	p.mu.Unlock()
	for _, c := range gathered {
		c.fail(err)
	}
}

// regather puts the parcels of a batch back, before all others: the volume it moved to has smaller stripes.
func (p *packer) regather(b *batch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	again := make([]*parcel, 0, len(b.parcels)+len(p.gathered))
	for _, c := range b.parcels {
		if c.attempts >= parcelAttempts {
			c.fail(exhausted(errUnfit))
			continue
		}
		again = append(again, c)
		p.bytes += len(c.payload)
	}
	p.gathered = append(again, p.gathered...)
}

// take chooses the parcels of a batch for a stripe with so much room; it may ask for a new stripe instead, where more
// fit. Parcels that fit into no stripe fail.
func (p *packer) take(k, room int) (chosen []*parcel, fresh bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.fit(k, room)
	if n < min(len(p.gathered), batchRecords) && room < block.Size/4 || n == 0 && room < block.Size {
		fresh = true
		n = p.fit(k, block.Size)
	}
	for n == 0 && len(p.gathered) > 0 {
		p.gathered[0].fail(fault.Wrap(errUnfit, codes.InvalidArgument, typesv1.Reason_REASON_OBJECT_TOO_LARGE,
			"a record of %d bytes does not fit into a stripe of %d data columns", len(p.gathered[0].payload), k))
		p.bytes -= len(p.gathered[0].payload)
		p.gathered = p.gathered[1:]
		n = p.fit(k, block.Size)
		fresh = true
	}
	p.last = max(n, p.last/shrinkShare)
	chosen = slices.Clone(p.gathered[:n])
	p.gathered = slices.Delete(p.gathered, 0, n)
	for _, c := range chosen {
		c.attempts++
		p.bytes -= len(c.payload)
	}
	return chosen, fresh
}

// fit is how many of the gathered parcels, from the first on, fit. mu is held.
func (p *packer) fit(k, room int) int {
	gauge := block.NewGauge(k, room)
	for i, c := range p.gathered {
		if i == batchRecords || !gauge.Add(c.item()) {
			if i == 0 && fitsAlone(k, room, c) {
				return 1
			}
			return i
		}
	}
	return len(p.gathered)
}

// fitsAlone says that a record fits when it has the stripe to itself: the gauge does not know splitting.
func fitsAlone(k, room int, c *parcel) bool {
	_, ok := block.Pack(k, room, []block.Item{c.item()})
	return ok
}
