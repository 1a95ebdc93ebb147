package volume

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/datapath/peers"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// appendsInFlight bounds the appends of one volume on their way: enough that disks never wait for the writer, little
// enough that a volume which fails has little to append again.
const appendsInFlight = 8

var (
	// errMoved says that a volume takes no more appends, for no fault of what was to be appended.
	errMoved = errors.New("the volume takes no more appends")
	// errUnfit says that a load does not fit into an empty stripe of a volume.
	errUnfit = errors.New("does not fit into a stripe")
)

// openVolume appends to one volume. It fails as a whole: the first error of any member ends it.
type openVolume struct {
	lane     *lane
	entry    *placementv1.Volume
	term     *term
	scheme   erasure.Scheme
	code     *erasure.Code
	refs     []*chunkv1.ChunkRef
	capacity uint64 // rows
	// usableDisks is the fewest since it was opened, opened when that was; the lane's mu guards both.
	usableDisks int
	opened      time.Time

	// slots bounds the appends in flight.
	slots chan struct{}

	// order is held while rows are given out and frames queued: every node gets them in the order of rows. It comes
	// before mu, which answers take.
	order sync.Mutex
	// after is what a frame at row could carry on; guarded by order.
	after mark

	mu sync.Mutex
	// row is the next row, acked the end of what is durable in every column.
	row, acked uint64
	// flights are the appends on their way, in the order of rows.
	flights []*flight
	// ended is why the volume takes no more appends.
	ended error
	// drained is closed when it takes no more and none is on its way.
	drained chan struct{}
	// quiet counts the ticks in which watched was the oldest flight; ticking: the timer runs.
	quiet   int
	watched *flight
	watch   *time.Timer
	ticking bool
}

// flight is one frame on its way to all members.
type flight struct {
	volume *openVolume
	end    uint64
	begin  time.Time
	// waiting has a bit for each column that has not answered; guarded by the volume's mu.
	waiting uint64
	whole   bool

	// done is closed when err is set: nil when the frame is durable in every column.
	done chan struct{}
	err  error
	// extents and size are of the whole load; only the load's last frame has them.
	extents []*typesv1.Extent
	slot    bool
}

// append lays a load and sends it, and returns the flight of its last frame: as members apply frames in order, that one
// is durable after all others. It waits for a slot. Errors: errMoved; those of lay; ctx's.
func (v *openVolume) append(ctx context.Context, ld load) (*flight, error) {
	select {
	case v.slots <- struct{}{}:
	case <-v.drained:
		return nil, errMoved
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting to append: %w", fault.FromContext(ctx.Err()))
	}
	f, err := v.place(ld)
	if err != nil {
		<-v.slots
	}
	return f, err
}

// tryAppend is append for a load that does not wait for a slot. Errors: errMoved when none is free; those of lay.
func (v *openVolume) tryAppend(ld load) (*flight, error) {
	select {
	case v.slots <- struct{}{}:
	default:
		return nil, errMoved
	}
	f, err := v.place(ld)
	if err != nil {
		<-v.slots
	}
	return f, err
}

// place gives a load its rows and queues its frames.
func (v *openVolume) place(ld load) (*flight, error) {
	v.order.Lock()
	defer v.order.Unlock()
	row, err := v.next()
	if err != nil {
		return nil, err
	}
	out, err := ld.lay(v, row)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, frame := range out.frames {
			frame.memory.release() // its maker's hold; each request has its own
		}
	}()
	flights, err := v.assign(row, &out)
	if err != nil {
		return nil, err
	}
	v.after = out.after
	for i, frame := range out.frames {
		v.send(flights[i], frame)
	}
	return flights[len(flights)-1], nil
}

// next is the first free row.
func (v *openVolume) next() (uint64, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ended != nil {
		return 0, errMoved
	}
	return v.row, nil
}

// assign gives frames their rows and makes their flights, or ends the volume when they do not fit any more.
func (v *openVolume) assign(row uint64, out *laid) ([]*flight, error) {
	total := uint64(0)
	for _, frame := range out.frames {
		total += uint64(frame.rows)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ended != nil {
		return nil, errMoved
	}
	if row+total > v.capacity {
		v.close()
		return nil, errMoved
	}
	now := clock.Now()
	flights := make([]*flight, len(out.frames))
	for i, frame := range out.frames {
		for _, request := range frame.requests {
			request.Row, request.Rows, request.SyncedRow = v.row, uint32(frame.rows), v.acked
		}
		v.row += uint64(frame.rows)
		flights[i] = &flight{
			volume: v, end: v.row, begin: now, waiting: 1<<v.scheme.N() - 1, done: make(chan struct{}),
		}
	}
	last := flights[len(flights)-1]
	last.extents, last.slot = out.extents, true
	if len(v.flights) == 0 {
		v.armWatch()
	}
	v.flights = append(v.flights, flights...)
	return flights, nil
}

// send queues a frame at every member.
func (v *openVolume) send(f *flight, frame laidFrame) {
	frame.memory.retain(len(frame.requests))
	for column, request := range frame.requests {
		v.lane.w.peers.Append(v.entry.GetMembers()[column].GetNode(), peers.Frame{
			Request:  request,
			Answered: func(err error) { v.answered(f, column, err) },
			Released: frame.memory.done,
		})
	}
}

// answered takes one member's answer to one frame.
func (v *openVolume) answered(f *flight, column int, err error) {
	if err != nil {
		v.fail(err, column)
		return
	}
	v.mu.Lock()
	f.waiting &^= 1 << column
	if f.waiting == 0 && !f.whole {
		f.whole = true
		v.complete()
	}
	v.mu.Unlock()
}

// complete ends the flights that are durable, in the order of rows. mu is held.
func (v *openVolume) complete() {
	n := 0
	for n < len(v.flights) && v.flights[n].whole {
		f := v.flights[n]
		v.acked = f.end
		v.lane.w.observe(v.lane.key.class, clock.Since(f.begin))
		v.finish(f, nil)
		v.flights[n] = nil
		n++
	}
	v.flights = v.flights[n:]
	if len(v.flights) == 0 {
		v.closeDrained()
	}
}

// finish tells who waits for a flight. mu is held.
func (v *openVolume) finish(f *flight, err error) {
	f.err = err
	close(f.done)
	if f.slot {
		<-v.slots
	}
}

// fail ends the volume: what is not whole will be appended elsewhere. The columns are blamed, and others that are late
// are avoided, too: when a zone falls silent its members are noticed one after the other. Who waits for a flight is told
// last, so that nobody moves on to a standby that shares the fate.
func (v *openVolume) fail(cause error, columns ...int) {
	w := v.lane.w
	for _, column := range columns {
		w.accuse(v, column, cause)
	}
	v.mu.Lock()
	late := v.late()
	v.mu.Unlock()
	if blame(cause) == scopeNode {
		for _, column := range late {
			w.avoid(v, column, cause)
		}
	}
	v.mu.Lock()
	first := v.ended == nil || len(v.flights) > 0
	if v.ended == nil {
		v.ended = cause
	}
	flights := v.flights
	v.flights = nil
	v.mu.Unlock()
	if first {
		v.lane.failed(v, cause)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, f := range flights {
		v.finish(f, &flightError{volume: v.entry.GetId(), cause: cause})
	}
	v.closeDrained()
}

// close lets no more appends in; those on their way go on. mu is held.
func (v *openVolume) close() {
	if v.ended == nil {
		v.ended = errMoved
	}
	v.closeDrained()
}

// closeDrained says that the volume is at rest. mu is held.
func (v *openVolume) closeDrained() {
	if v.ended == nil || len(v.flights) > 0 {
		return
	}
	select {
	case <-v.drained:
	default:
		close(v.drained)
	}
}

// retire lets no more appends in.
func (v *openVolume) retire() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.close()
}

// usable says that the volume takes appends.
func (v *openVolume) usable() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.ended == nil && v.term.usable()
}

// settled is the end of what was acknowledged. It is final once the volume is drained.
func (v *openVolume) settled() uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.acked
}

// fallback says that the volume has not the scheme that was asked for.
func (v *openVolume) fallback() bool { return v.scheme != v.lane.key.scheme }
