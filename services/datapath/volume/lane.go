package volume

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/fault"
)

const (
	// currentPatience bounds the wait for a volume: what opening one takes at most, and the moment before it begins.
	currentPatience = openPatience + 500*time.Millisecond

	// idleAfter is how long a lane keeps its open volumes without an append: an open volume costs every member an open
	// file and repair attention, opening one costs a write some milliseconds.
	idleAfter = 5 * time.Minute

	// fallbackAge is how old a volume of a fallback scheme gets before it is replaced: should topology and placement
	// disagree on what fits, volumes must not be opened in a loop.
	fallbackAge = 10 * time.Second
)

// laneKey says which volumes a lane appends to.
type laneKey struct {
	class typesv1.VolumeClass
	// scheme is the wanted one.
	scheme erasure.Scheme
}

// lane keeps an open volume, and a standby, for one class and wanted scheme. Locks are taken in the order writer, lane,
// volume, crew.
type lane struct {
	w    *Writer
	key  laneKey
	pack *packer

	mu              sync.Mutex
	active, standby *openVolume
	// spare: a standby is kept.
	spare   bool
	opening bool
	shut    bool
	// refused is why no volume can be had until refusedUntil.
	refused      error
	refusedUntil time.Time
	// changed is closed at every change.
	changed chan struct{}
	used    time.Time
	// streams counts the uploads that write here.
	streams int
}

func newLane(w *Writer, key laneKey) *lane {
	l := &lane{w: w, key: key, changed: make(chan struct{}), used: clock.Now()}
	if key.class == typesv1.VolumeClass_VOLUME_CLASS_PACKED {
		l.spare = true
		l.pack = newPacker(l)
	}
	return l
}

// current is the volume to append to; it waits while one is being opened. Errors: those of open, at once while no
// volume could be had a moment ago; SHUTTING_DOWN; UNAVAILABLE; ctx's.
func (l *lane) current(ctx context.Context) (*openVolume, error) {
	v, changed, err := l.look()
	if v != nil || err != nil {
		return v, err
	}
	patience, cancel := context.WithTimeout(ctx, currentPatience)
	defer cancel()
	for ; v == nil && err == nil; v, changed, err = l.look() {
		select {
		case <-changed:
		case <-patience.Done():
			if ctx.Err() != nil {
				return nil, gaveUp(ctx)
			}
			return nil, fault.New(codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE,
				"no volume could be opened within %v", currentPatience).WithRetryAfter(openRetryAfter)
		}
	}
	return v, err
}

// look returns the active volume, or why there is none, or neither and what to wait for.
func (l *lane) look() (*openVolume, <-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shut {
		return nil, nil, fault.New(codes.Unavailable, typesv1.Reason_REASON_SHUTTING_DOWN, "the writer stops")
	}
	l.used = clock.Now()
	l.promote()
	if l.active == nil && l.refused != nil && l.used.Before(l.refusedUntil) {
		return nil, nil, l.refused
	}
	l.ensure()
	return l.active, l.changed, nil
}

// promote drops volumes that take no more appends and lets the standby take over. mu is held.
func (l *lane) promote() {
	if l.standby != nil && !l.standby.usable() {
		l.drop(&l.standby)
	}
	if l.active != nil && !l.active.usable() {
		l.drop(&l.active)
	}
	if l.active == nil && l.standby != nil {
		// On a disk that just failed it would fail the same way, after the same wait.
		if l.w.doomed(l.standby) {
			l.drop(&l.standby)
		}
		l.active, l.standby = l.standby, nil
	}
}

// drop sends a volume to be sealed. mu is held.
func (l *lane) drop(slot **openVolume) {
	v := *slot
	*slot = nil
	v.retire()
	l.w.seal(v)
}

// ensure opens what is missing, in the background. mu is held.
func (l *lane) ensure() {
	if l.opening || l.shut || !l.wanting() || (l.refused != nil && clock.Now().Before(l.refusedUntil)) {
		return
	}
	l.opening = l.w.crew.start(l.openMissing)
}

// wanting says that a volume is missing. mu is held.
func (l *lane) wanting() bool {
	return l.active == nil || l.standby == nil && (l.spare || l.w.outdated(l.active))
}

// openMissing opens volumes until none is missing, or none can be had.
func (l *lane) openMissing(ctx context.Context) {
	for {
		v, err := l.w.open(ctx, l)
		l.mu.Lock()
		if err != nil {
			retry, ok := fault.RetryAfter(err)
			if !ok {
				retry = openRetryAfter
			}
			l.refused, l.refusedUntil = err, clock.Now().Add(retry)
			l.w.log.WarnContext(ctx, "no volume can be opened", slog.String("class", className(l.key.class)),
				slog.String("scheme", l.key.scheme.String()), slog.Any("error", err))
		} else {
			l.refused = nil
			l.install(v)
		}
		l.opening = err == nil && !l.shut && l.wanting()
		again := l.opening
		l.broadcast()
		l.mu.Unlock()
		if !again {
			return
		}
	}
}

// install takes a new volume in. mu is held.
func (l *lane) install(v *openVolume) {
	v.opened = clock.Now()
	l.promote()
	switch {
	case l.shut:
		l.drop(&v)
	case l.active == nil:
		l.active = v
	case l.standby == nil:
		l.standby = v
	default:
		l.drop(&v)
	}
}

func (l *lane) broadcast() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// failed hears that a volume ended because of a member: it is replaced.
func (l *lane) failed(v *openVolume, cause error) {
	l.w.metrics.moves.WithLabelValues(className(l.key.class), fault.Name(fault.Reason(cause))).Inc()
	l.w.log.Warn("volume failed, moving on", slog.Uint64("volume", v.entry.GetId()),
		slog.String("class", className(l.key.class)), slog.Any("error", cause))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.promote()
	if l.standby != nil && l.w.doomed(l.standby) {
		l.drop(&l.standby)
	}
	l.ensure()
	l.broadcast()
}

// other is the volume for a hedge against slow; nil when there is none.
func (l *lane) other(slow *openVolume) *openVolume {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, v := range []*openVolume{l.active, l.standby} {
		if v != nil && v != slow && v.usable() {
			return v
		}
	}
	return nil
}

// prefer makes the standby the active volume: it was faster.
func (l *lane) prefer(v *openVolume) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.standby == v {
		l.active, l.standby = l.standby, l.active
	}
}

// enter counts an upload in; leave counts it out.
func (l *lane) enter() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.streams++
	l.spare = true // used once: the next stall should find a standby
}

func (l *lane) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.streams--
	l.used = clock.Now()
}

// alone says that at most one upload writes here.
func (l *lane) alone() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.streams <= 1
}

// tend replaces volumes of an old term or a fallback scheme, without a pause: the standby first, then it takes over.
// Lanes that nobody uses get their volumes sealed.
func (l *lane) tend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shut {
		return
	}
	l.promote()
	if l.streams == 0 && clock.Since(l.used) > idleAfter {
		l.release()
		return
	}
	l.w.notice(l.active)
	l.w.notice(l.standby)
	if l.standby != nil && l.w.outdated(l.standby) {
		l.drop(&l.standby)
	}
	if l.active != nil && l.standby != nil && l.w.outdated(l.active) && !l.w.doomed(l.standby) {
		l.drop(&l.active)
		l.promote()
	}
	if l.active != nil {
		l.ensure() // a lane without an active volume waits until somebody needs it
	}
}

// release sends both volumes to be sealed. mu is held.
func (l *lane) release() {
	if l.active != nil {
		l.drop(&l.active)
	}
	if l.standby != nil {
		l.drop(&l.standby)
	}
	l.broadcast()
}

// stop ends the lane: nothing is opened any more, what is open gets sealed.
func (l *lane) stop() {
	l.mu.Lock()
	l.shut = true
	l.release()
	l.mu.Unlock()
	if l.pack != nil {
		l.pack.stop()
	}
}

// touch keeps the lane from being idle.
func (l *lane) touch() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used = clock.Now()
}

// idle says that the lane can be forgotten.
func (l *lane) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.active == nil && l.standby == nil && !l.opening && l.streams == 0 && clock.Since(l.used) > idleAfter
}

// count is the lane's open volumes, for the metric.
func (l *lane) count() (active, standby int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.active != nil {
		active++
	}
	if l.standby != nil {
		standby++
	}
	return active, standby
}

// doomed says that a member of a volume is on a suspect disk.
func (w *Writer) doomed(v *openVolume) bool {
	for _, member := range v.entry.GetMembers() {
		if w.suspects.has(member.GetDisk()) {
			return true
		}
	}
	return false
}

// outdated says that a volume should be replaced while it still works: its term is over soon, or it was opened with a
// fallback scheme and the wanted one fits again.
func (w *Writer) outdated(v *openVolume) bool {
	latest := w.terms.latest()
	if latest != nil && v.term != latest {
		return true
	}
	if !v.fallback() || clock.Since(v.opened) < fallbackAge {
		return false
	}
	now := w.topology.Snapshot()
	if sameScheme(now.DefaultScheme(), v.lane.key.scheme) {
		return sameScheme(now.WriteScheme(), v.lane.key.scheme)
	}
	// Of other schemes placement does not say what they get; but with no more disks than before it is the same.
	return now.Usable(w.suspects.has) > v.usableDisks
}

// notice takes in that disks went since a fallback volume was opened: the writer learns of it after placement.
func (w *Writer) notice(v *openVolume) {
	if v != nil && v.fallback() {
		v.usableDisks = min(v.usableDisks, w.topology.Snapshot().Usable(w.suspects.has))
	}
}

func sameScheme(p *typesv1.Scheme, s erasure.Scheme) bool {
	return p.GetK() == uint32(s.K) && p.GetM() == uint32(s.M)
}
