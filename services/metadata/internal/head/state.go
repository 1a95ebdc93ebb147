package head

// state is a locked table: what plans and readers look at.
type state table

// Revision implements View.
func (s *state) Revision() int64 { return s.applied }

// Get implements View.
func (s *state) Get(key string) (Row, bool) {
	if e, ok := s.entry(key); ok {
		return e.row(), true
	}
	return Row{}, false
}

// Scan implements View.
func (s *state) Scan(from, to string, visit func(Row) (seek string, stop bool)) {
	it := s.live.Iter()
	defer it.Release()
	for ok := it.Seek(entry{key: from}); ok; {
		e := it.Item()
		if e.key >= to {
			return
		}
		seek, stop := visit(e.row())
		switch {
		case stop:
			return
		case seek == "":
			ok = it.Next()
		default:
			ok = it.Seek(entry{key: seek})
		}
	}
}

// entry is a row, live or dead.
func (s *state) entry(key string) (entry, bool) {
	if e, ok := s.live.Get(entry{key: key}); ok {
		return e, true
	}
	e, ok := s.dead[key]
	return e, ok
}

// mod is the revision of a row, 0 for an absent one: what etcd compares.
func (s *state) mod(key string) int64 {
	e, _ := s.entry(key)
	return e.mod
}

// trace finds out whether a write has applied: as the row that is there now, or among the events of the window.
func (s *state) trace(key string, id WriteID) (trace, bool) {
	if id == (WriteID{}) {
		return trace{}, false
	}
	if e, ok := s.entry(key); ok && e.id() == id {
		return trace{rev: e.mod, version: e.version()}, true
	}
	return s.window.find(key, id)
}

// untouchedSince says that a write that trace does not find has not applied between rev and now. It is so if the window
// reaches back to rev, or if the row is as it was at rev; an absent row was absent at rev if nothing vanished since.
func (s *state) untouchedSince(key string, rev int64) bool {
	if s.window.reaches(rev) {
		return true
	}
	if e, ok := s.entry(key); ok {
		return e.mod <= rev
	}
	return s.epoch <= rev
}
