package headtest

import (
	"context"

	"github.com/drystone-store/drystone/services/metadata/internal/head"
)

// Unguarded is an index whose reads skip the barrier: what every test of linearizability must catch.
type Unguarded struct{ head.Index }

// Read reads whatever the copy has.
func (u Unguarded) Read(_ context.Context, use func(head.View) error) (err error) {
	u.Peek(func(v head.View) { err = use(v) })
	return err
}
