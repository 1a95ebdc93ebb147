package state

import (
	"context"
	"log/slog"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// mirror is the copy that readers share with the watch.
type mirror struct {
	log *slog.Logger
	// loaded closes with the first load.
	loaded chan struct{}
	// changed holds one token while there is something that its reader has not seen.
	changed chan struct{}

	mu      sync.RWMutex
	model   *model
	applied int64
	// waiting are those who need a revision that has not been applied yet. They are few: one barrier, some writes.
	waiting map[*waiter]struct{}
}

type waiter struct {
	revision int64
	done     chan struct{}
}

func newMirror(log *slog.Logger) *mirror {
	return &mirror{
		log: log, loaded: make(chan struct{}), changed: make(chan struct{}, 1),
		model: newModel(), waiting: map[*waiter]struct{}{},
	}
}

// read runs f on the copy. f keeps nothing of it.
func (m *mirror) read(f func(*model)) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	f(m.model)
}

// swap replaces the copy by one that was loaded at a revision.
func (m *mirror) swap(model *model, revision int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for term, w := range model.writers {
		if before, known := m.model.writers[term]; known {
			w.seen = before.seen
			model.writers[term] = w
		}
	}
	m.model = model
	m.advance(revision)
	select {
	case <-m.loaded:
	default:
		close(m.loaded)
	}
}

// apply brings in the events of one watch response, which are whole revisions.
func (m *mirror) apply(events []*clientv3.Event) {
	if len(events) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, event := range events {
		var err error
		if event.GetType() == clientv3.EventTypeDelete {
			err = m.model.remove(string(event.GetKv().GetKey()))
		} else {
			err = m.model.put(event.GetKv())
		}
		if err != nil {
			m.log.Error("an event was not understood",
				slog.String("key", string(event.GetKv().GetKey())), slog.Any("error", err))
		}
	}
	m.advance(lastRevision(events))
}

// lastRevision is what a response with these events brings memory to. They are at least one.
func lastRevision(events []*clientv3.Event) int64 {
	return events[len(events)-1].GetKv().GetModRevision()
}

// advance needs the lock.
func (m *mirror) advance(revision int64) {
	m.applied = revision
	for w := range m.waiting {
		if w.revision <= revision {
			close(w.done)
			delete(m.waiting, w)
		}
	}
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// wait returns once a revision is applied. The revision must be one that touched the prefix: others never come.
func (m *mirror) wait(ctx context.Context, revision int64) error {
	m.mu.Lock()
	if m.applied >= revision {
		m.mu.Unlock()
		return nil
	}
	w := &waiter{revision: revision, done: make(chan struct{})}
	m.waiting[w] = struct{}{}
	m.mu.Unlock()
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		m.mu.Lock()
		delete(m.waiting, w)
		m.mu.Unlock()
		return ctx.Err()
	}
}
