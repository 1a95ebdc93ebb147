package volume

import (
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/fault"
)

const (
	// avoidFor is how long a member that failed is asked last: long enough that a dead node costs one timeout in many
	// reads, short enough that one that came back is used again soon. Placement's topology knows by then.
	avoidFor = 5 * time.Second
	// avoidMost bounds the memory of failures: every disk of a large cluster, and as many chunks.
	avoidMost = 8192
	// sweepEvery bounds how often a full memory is searched for what is over.
	sweepEvery = time.Second

	// detourShare is how many reads have to be made for one that is asked of others because its member takes long or its node
	// is overloaded: one in ten, since each costs up to k reads and would feed what slowed it down.
	detourShare = 10
	// detourBurst bounds what is saved up: enough for all reads that hang on one node in its first second of silence.
	detourBurst = 200
)

// chunkKey names a chunk; with only node or disk set it names those.
type chunkKey struct {
	node, disk string
	volume     uint64
	generation uint32
	column     int
	attempt    uint32
}

// avoided remembers members that failed, for all reads. Who is in it is still asked when the others do not suffice.
type avoided struct {
	// probe is how long one read tries a member whose time is over before another one may.
	probe time.Duration

	size  atomic.Int32
	mu    sync.Mutex
	until map[chunkKey]time.Time
	swept time.Time
}

func newAvoided(probe time.Duration) *avoided {
	return &avoided{probe: probe, until: make(map[chunkKey]time.Time)}
}

// blame remembers what an error speaks against: a node, a disk, one chunk, or nobody.
func (a *avoided) blame(chunk chunkKey, cause error) {
	key, ok := blamed(chunk, cause)
	if !ok {
		return
	}
	now := clock.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.until) >= avoidMost && now.After(a.swept.Add(sweepEvery)) {
		a.swept = now
		for k, until := range a.until {
			if until.Before(now) {
				delete(a.until, k)
			}
		}
	}
	if _, known := a.until[key]; known || len(a.until) < avoidMost { // else this one costs an attempt each time
		a.until[key] = now.Add(avoidFor)
	}
	a.size.Store(int32(len(a.until)))
}

func blamed(chunk chunkKey, cause error) (chunkKey, bool) {
	disk := chunkKey{disk: chunk.disk}
	if cause == errLate { //nolint:errorlint // it is never wrapped
		return disk, true
	}
	switch fault.Reason(cause) {
	case typesv1.Reason_REASON_NO_SUCH_DISK, typesv1.Reason_REASON_DISK_FAILED, typesv1.Reason_REASON_DEADLINE_EXCEEDED:
		return disk, true
	case typesv1.Reason_REASON_NO_SUCH_CHUNK, typesv1.Reason_REASON_CHUNK_STALE:
		return chunk, true
	default:
	}
	switch fault.Code(cause) {
	case codes.DeadlineExceeded:
		return disk, true
	case codes.Unavailable:
		return chunkKey{node: chunk.node}, true
	default:
		// Rot is one granule, a full queue is no failure: the next read asks again.
		return chunkKey{}, false
	}
}

// has says whether to ask a chunk last. When its time is over it says no once, to a caller that will ask it and so find
// out whether it is back.
func (a *avoided) has(chunk chunkKey, willAsk bool) bool {
	if a.size.Load() == 0 {
		return false
	}
	now := clock.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	found := false
	for _, key := range chunk.scopes() {
		until, ok := a.until[key]
		if !ok {
			continue
		}
		if !willAsk || until.After(now) {
			found = true
			continue
		}
		a.until[key] = now.Add(a.probe)
	}
	return found
}

// clear forgets what was said against a chunk, its disk and its node: it has answered.
func (a *avoided) clear(chunk chunkKey) {
	if a.size.Load() == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, key := range chunk.scopes() {
		delete(a.until, key)
	}
	a.size.Store(int32(len(a.until)))
}

func (k chunkKey) scopes() [3]chunkKey {
	return [3]chunkKey{{node: k.node}, {disk: k.disk}, k}
}

// failedChunks are the chunks that failed one read. Its parts run at the same time.
type failedChunks struct {
	mu  sync.Mutex
	set map[chunkKey]struct{}
}

func (f *failedChunks) add(chunk chunkKey) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.set == nil {
		f.set = make(map[chunkKey]struct{})
	}
	f.set[chunk] = struct{}{}
}

func (f *failedChunks) has(chunk chunkKey) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.set[chunk]
	return ok
}

// detourBudget bounds how often reads are asked of others although their member may well answer.
type detourBudget struct{ saved atomic.Int64 }

func newDetourBudget() *detourBudget {
	b := &detourBudget{}
	b.saved.Store(detourBurst * detourShare)
	return b
}

// earn counts a read.
func (b *detourBudget) earn() {
	if b.saved.Load() < detourBurst*detourShare {
		b.saved.Add(1)
	}
}

// spend says whether one more may be asked of others.
func (b *detourBudget) spend() bool {
	if b.saved.Add(-detourShare) >= 0 {
		return true
	}
	b.saved.Add(detourShare)
	return false
}
