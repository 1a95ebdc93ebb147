package crash

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/drystone-store/drystone/services/tests/bench"
)

// maxLife bounds how long a store lives under load in one round.
const maxLife = 1200 * time.Millisecond

// Round checks what earlier rounds left, loads the store, and kills it with SIGKILL at a random instant.
func Round(ctx context.Context, s *bench.Server, l *Ledger, clients int, rng *rand.Rand) error {
	if err := MakeBucket(ctx, s.Addr, s.Token); err != nil {
		return err
	}
	if err := Verify(ctx, s.Addr, s.Token, l, clients); err != nil {
		return err
	}
	killed := make(chan error, 1)
	timer := time.AfterFunc(time.Duration(rng.Int64N(int64(maxLife))), func() { killed <- s.Kill() })
	defer timer.Stop()
	Load(ctx, s.Addr, s.Token, l, clients, rng.Uint64())
	return <-killed
}
