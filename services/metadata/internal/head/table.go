package head

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/tidwall/btree"

	"github.com/drystone-store/drystone/services/metadata/internal/hlc"
)

// treeDegree is the measured best of 16 to 256 for rows of 48 bytes: scans touch few nodes, inserts move little.
const treeDegree = 64

// table is the copy of the head in memory: live rows in order, tombstones beside them, and the window of events.
type table struct {
	mu      sync.RWMutex
	live    *btree.BTreeG[entry]
	dead    map[string]entry
	graves  []grave // tombstones in the order of their coming; in the middle some are gone
	bytes   int64
	applied int64
	epoch   int64 // revision that put the epoch last
	window  *window

	observe func(version uint64)
	now     func() time.Time
}

// grave remembers when a tombstone came.
type grave struct {
	key     string
	mod     int64
	version uint64
}

// event is one change of a row: a put, or with put == nil a removal.
type event struct {
	key string
	put []byte
	mod int64
}

func newTable(o Options) *table {
	return &table{
		live:    newTree(),
		dead:    make(map[string]entry),
		window:  newWindow(o.WindowAge, o.WindowEntries, o.Now()),
		observe: o.Observe,
		now:     o.Now,
	}
}

func newTree() *btree.BTreeG[entry] {
	less := func(a, b entry) bool { return a.key < b.key }
	return btree.NewBTreeGOptions(less, btree.Options{NoLocks: true, Degree: treeDegree})
}

// apply applies the events of whole transactions, the last of them of revision rev. An error means a value that this
// version cannot read; nothing is applied then.
func (t *table) apply(events []event, rev int64) error {
	entries := make([]entry, len(events))
	for i, ev := range events {
		if ev.put == nil || isSystem(ev.key) {
			continue
		}
		e, err := parseEntry(ev.key, ev.put, ev.mod)
		if err != nil {
			return err
		}
		entries[i] = e
	}
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, ev := range events {
		switch {
		case isSystem(ev.key):
			if ev.key == epochKey {
				t.epoch = ev.mod
			}
		case ev.put == nil:
			t.remove(ev.key)
		default:
			t.put(entries[i])
			t.window.add(entries[i], now)
		}
	}
	t.applied = rev
	t.window.trim(now)
	return nil
}

// put stores a row. Callers hold mu.
func (t *table) put(e entry) {
	t.bytes += e.bytes()
	t.observe(e.version())
	if e.dead() {
		t.removeLive(e.key)
		t.removeDead(e.key)
		t.dead[e.key] = e
		t.graves = append(t.graves, grave{key: e.key, mod: e.mod, version: e.version()})
		return
	}
	t.removeDead(e.key)
	if old, replaced := t.live.Set(e); replaced {
		t.bytes -= old.bytes()
	}
}

func (t *table) remove(key string) {
	t.removeLive(key)
	t.removeDead(key)
}

func (t *table) removeLive(key string) {
	if old, ok := t.live.Delete(entry{key: key}); ok {
		t.bytes -= old.bytes()
	}
}

func (t *table) removeDead(key string) {
	if old, ok := t.dead[key]; ok {
		t.bytes -= old.bytes()
		delete(t.dead, key)
	}
}

// replace makes the table what was loaded at revision rev. The window keeps what it knows but has a gap.
func (t *table) replace(entries []entry, epoch, rev int64) {
	live, dead := newTree(), make(map[string]entry)
	var graves []grave
	var bytes int64
	for _, e := range entries {
		bytes += e.bytes()
		t.observe(e.version())
		if e.dead() {
			dead[e.key] = e
			graves = append(graves, grave{key: e.key, mod: e.mod, version: e.version()})
			continue
		}
		live.Load(e)
	}
	slices.SortFunc(graves, func(a, b grave) int { return cmp.Compare(a.mod, b.mod) })
	t.mu.Lock()
	defer t.mu.Unlock()
	t.live, t.dead, t.graves, t.bytes = live, dead, graves, bytes
	t.epoch, t.applied = epoch, rev
	t.window.reset(rev)
}

// view calls use with the current state.
func (t *table) view(use func(*state)) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	use((*state)(t))
}

// expired returns up to n tombstones that were put before the given time, oldest first.
func (t *table) expired(before time.Time, n int) []entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.graves) > 0 && t.dead[t.graves[0].key].mod != t.graves[0].mod {
		t.graves = t.graves[1:]
	}
	var old []entry
	for _, g := range t.graves {
		if len(old) == n || hlc.Millis(g.version) >= before.UnixMilli() {
			break
		}
		if e := t.dead[g.key]; e.mod == g.mod {
			old = append(old, e)
		}
	}
	return old
}

// sizes are for metrics.
type sizes struct {
	live, dead, window int
	bytes, applied     int64
}

func (t *table) sizes() sizes {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return sizes{
		live: t.live.Len(), dead: len(t.dead), window: len(t.window.log) - t.window.head,
		bytes: t.bytes, applied: t.applied,
	}
}
