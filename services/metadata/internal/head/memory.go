package head

import (
	"context"
	"sync"
	"time"

	"github.com/drystone-store/drystone/services/kit/fault"
)

// Memory is an Index without etcd: one table, one process, nothing durable. Its rules are Etcd's.
type Memory struct {
	commits sync.Mutex // one write at a time: plan and application are one step
	table   *table
}

var _ Index = (*Memory)(nil)

// NewMemory makes an empty index.
func NewMemory(o Options) *Memory {
	return &Memory{table: newTable(o.withDefaults())}
}

// Read implements Index.
func (m *Memory) Read(ctx context.Context, use func(View) error) error {
	if err := ctx.Err(); err != nil {
		return fault.FromContext(err)
	}
	var err error
	m.table.view(func(s *state) { err = use(s) })
	return err
}

// Peek implements Index.
func (m *Memory) Peek(use func(View)) { m.table.view(func(s *state) { use(s) }) }

// Commit implements Index.
func (m *Memory) Commit(ctx context.Context, writes []Write) []Result {
	results := make([]Result, len(writes))
	for i := range writes {
		if err := ctx.Err(); err != nil {
			results[i].Err = fault.FromContext(err)
			continue
		}
		results[i] = m.commit(&writes[i])
	}
	return results
}

func (m *Memory) commit(w *Write) Result {
	m.commits.Lock()
	defer m.commits.Unlock()
	var d decision
	var rev int64
	m.table.view(func(s *state) {
		since := w.Since
		if since == 0 {
			since = s.applied
		}
		d, rev = s.decide(w, since), s.applied+1
	})
	if d.verdict != verdictChange {
		return d.result
	}
	if err := m.table.apply(d.change.events(w.ID, rev), rev); err != nil {
		return Result{Err: err}
	}
	return Result{Revision: rev, Version: d.change.version}
}

// Purge drops the tombstones that were put before a time and returns how many.
func (m *Memory) Purge(_ context.Context, before time.Time) (int, error) {
	m.commits.Lock()
	defer m.commits.Unlock()
	old := m.table.expired(before, m.table.sizes().dead)
	if len(old) == 0 {
		return 0, nil
	}
	rev := m.table.sizes().applied + 1
	events := []event{{key: epochKey, mod: rev, put: []byte{}}}
	for _, e := range old {
		events = append(events, event{key: e.key, mod: rev})
	}
	return len(old), m.table.apply(events, rev)
}

// events are what a watch would show of the change at revision rev.
func (c *change) events(id WriteID, rev int64) []event {
	events := make([]event, 0, len(c.puts)+len(c.drops)+1)
	for _, p := range c.puts {
		events = append(events, event{key: p.Key, put: encodeValue(id, p), mod: rev})
	}
	for _, key := range c.drops {
		events = append(events, event{key: key, mod: rev})
	}
	if len(c.drops) > 0 {
		events = append(events, event{key: epochKey, put: []byte{}, mod: rev})
	}
	return events
}
