package head

import "context"

// Index is the ordered map of names. Safe for concurrent use.
type Index interface {
	// Read calls use once with a state that holds every write answered before Read was called. Errors: UNAVAILABLE when
	// no barrier could be had, the context's, and whatever use returns.
	Read(ctx context.Context, use func(View) error) error
	// Peek calls use with what this replica has seen so far, without a barrier.
	Peek(use func(View))
	// Commit applies each write or refuses it, each alone, and returns their results in order. Errors in results:
	// what plans returned; OUTCOME_UNKNOWN (it may apply, may have, or may not); OVERLOADED, UNAVAILABLE and
	// SHUTTING_DOWN (this call did not apply it, constraint 8).
	Commit(ctx context.Context, writes []Write) []Result
}

// View is one state of the rows. It is valid only inside the function it was given to, which must neither block nor
// call the index: the table is locked meanwhile. Rows' payloads stay valid afterwards; nobody changes them.
type View interface {
	// Revision is the revision of the head that this state has.
	Revision() int64
	// Get returns a row, tombstones included.
	Get(key string) (Row, bool)
	// Scan calls visit with the live rows from `from` (inclusive) to `to` (exclusive) in byte order; tombstones are
	// kept elsewhere and cost nothing. Visit returns where to go on: empty for the next row, or a key above the row's
	// to seek to. It ends at `to` or with stop.
	Scan(from, to string, visit func(Row) (seek string, stop bool))
}

// WriteID names one write for ever: 16 random bytes, minted before its first try. The zero id is for writes that may be
// repeated without harm (raising a floor).
type WriteID [16]byte

// Row is one row of the head.
type Row struct {
	Key string
	// Payload is what the plan put. Read only.
	Payload []byte
	// Mod is the revision that wrote it.
	Mod int64
	// ID is the write that wrote it.
	ID WriteID
	// Version is the hybrid logical stamp the plan gave it, 0 for rows without one.
	Version uint64
	// Dead marks a tombstone.
	Dead bool
}

// Write is one conditional change.
type Write struct {
	// Key is the row it is about. Writes of one key through one replica are tried in the order they came.
	Key string
	// ID finds the write again after an unknown outcome.
	ID WriteID
	// Since is a revision that the caller saw before the first try of this write; 0 promises that this is the first.
	Since int64
	// Plan decides on one state. It is called again whenever that state turns out to be old, so it must be pure but for
	// minting, quick, and must not block. An error refuses the write; a plan without changes is a success.
	Plan func(View) (Plan, error)
}

// Plan is what a write changes. The index compares every row of Puts and Drops with the state the plan was made from.
type Plan struct {
	// Puts and Drops together hold at most maxPlanChanges rows, each key once.
	Puts  []Put
	Drops []string
	// Guards are further rows that the decision rests on.
	Guards []Guard
}

// Put writes one row.
type Put struct {
	Key     string
	Payload []byte
	Version uint64
	Dead    bool
}

// Guard refuses to apply a plan if a row is not what the plan thinks.
type Guard struct {
	Key string
	// Below, if not nil: the payload is bytewise below it (rows of fixed width), or the row is as absent as it was for
	// the plan. If nil: the row is the same as it was for the plan.
	Below []byte
}

// Result is what became of a write.
type Result struct {
	// Revision is the one that applied the write; for a success without changes, one at which there was none to make.
	Revision int64
	// Version is that of the row under Write.Key as this write put it, 0 if it put none.
	Version uint64
	// Err is nil if the write applied or had nothing to change.
	Err error
}
