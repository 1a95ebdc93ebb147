package head

import (
	"hash/maphash"
	"time"
)

// window remembers which writes were seen in the latest events, so that a write that is tried again is recognized. It
// is bounded in time and in entries; what it has forgotten it says (reaches).
type window struct {
	age   time.Duration
	max   int
	seed  maphash.Seed
	start time.Time // ages are counted from here, monotonic

	// since is the revision behind which everything is remembered.
	since int64
	seen  map[sighting]trace
	// log holds the sightings in the order of their revisions, the oldest at head.
	log  []logged
	head int
}

// sighting is a write id at a key; the key is hashed, for size: with a random id of 128 bits nothing else hinges on it.
type sighting struct {
	id  WriteID
	key uint64
}

type trace struct {
	rev     int64
	version uint64
}

type logged struct {
	sighting
	rev int64
	at  time.Duration // after start, when this replica saw it
}

func newWindow(age time.Duration, entries int, now time.Time) *window {
	return &window{age: age, max: entries, seed: maphash.MakeSeed(), start: now, seen: make(map[sighting]trace)}
}

// reset declares that events up to rev may have been missed. What is remembered stays true.
func (w *window) reset(rev int64) { w.since = max(w.since, rev) }

// add remembers a write. Revisions come in order.
func (w *window) add(e entry, now time.Time) {
	id := e.id()
	if id == (WriteID{}) {
		return
	}
	s := sighting{id: id, key: maphash.String(w.seed, e.key)}
	w.seen[s] = trace{rev: e.mod, version: e.version()}
	w.log = append(w.log, logged{sighting: s, rev: e.mod, at: now.Sub(w.start)})
}

// find returns the trace of a write.
func (w *window) find(key string, id WriteID) (trace, bool) {
	t, ok := w.seen[sighting{id: id, key: maphash.String(w.seed, key)}]
	return t, ok
}

// reaches says that every write after rev is remembered.
func (w *window) reaches(rev int64) bool { return w.since <= rev }

// trim forgets what is too old or too much.
func (w *window) trim(now time.Time) {
	oldest := now.Sub(w.start) - w.age
	for w.head < len(w.log) && (len(w.log)-w.head > w.max || w.log[w.head].at < oldest) {
		l := w.log[w.head]
		if w.seen[l.sighting].rev == l.rev {
			delete(w.seen, l.sighting)
		}
		w.since = max(w.since, l.rev)
		w.head++
	}
	if w.head > len(w.log)/2 {
		w.log = append(w.log[:0], w.log[w.head:]...)
		w.head = 0
	}
}
