// Package headtest is the contract of head.Index as tests that every implementation passes.
package headtest

import (
	"context"
	"testing"
	"time"

	"github.com/drystone-store/drystone/services/metadata/internal/head"
)

// Fixture is one fresh index.
type Fixture struct {
	// Replicas are handles of the same index: what one has answered, the others must see.
	Replicas []head.Index
	// Purge removes all tombstones that were put before a time.
	Purge func(ctx context.Context, before time.Time) (int, error)
}

// Maker makes a fixture that ends with the test.
type Maker func(t *testing.T, o head.Options) Fixture

// Run runs the contract. Numbers in the cases' names are the constraints of package head.
func Run(t *testing.T, mk Maker) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(*testing.T, Maker)
	}{
		{"1 reads see what was answered", readsSeeAnswers},
		{"1 scans see what was answered", scansSeeAnswers},
		{"2 transactions are seen whole", transactionsAreWhole},
		{"3 no update is lost", noUpdateIsLost},
		{"3 a guard on an unchanged row", guardsHold},
		{"3 a floor is never undercut", floorsHold},
		{"4 a write applies once", appliesOnce},
		{"4 a delete applies once", deletesOnce},
		{"4 a forgotten write is unknown", forgottenIsUnknown},
		{"4 an untouched row is no unknown", untouchedIsKnown},
		{"5 purged rows", purgedRows},
		{"6 refusals and empty plans", refusals},
		{"7 a caller that has left", leftCaller},
		{"scan bounds, seek and stop", scanBounds},
		{"writes of one key in one call", sameKeyInOneCall},
		{"more writes than fit one transaction", manyWrites},
		{"more bytes than fit one transaction", manyBytes},
		{"writes that share a second row", sharedRow},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.test(t, func(t *testing.T, o head.Options) Fixture {
				f := mk(t, o)
				catchUp(t, f) // a replica remembers only what came after it was there
				return f
			})
		})
	}
}
