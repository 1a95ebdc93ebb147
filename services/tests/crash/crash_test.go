package crash_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/drystone-store/drystone/services/tests/bench"
	"github.com/drystone-store/drystone/services/tests/crash"
	"github.com/drystone-store/drystone/services/tests/meshtest"
)

// rounds are enough for every run of the tests; `cmd/crash -rounds 200` is the drill.
const rounds = 5

// TestNothingAcknowledgedIsLost kills everything at random instants under load.
func TestNothingAcknowledgedIsLost(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills a store again and again")
	}
	binary, data := filepath.Join(meshtest.Build(t), "drystone"), t.TempDir()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	ledger := crash.NewLedger()
	// The store's process outlives t.Context by the time it takes to stop it in order.
	ctx := context.WithoutCancel(t.Context())
	for round := range rounds {
		s, err := bench.StartServer(ctx, binary, data, "rs-5-4", 9)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if err := crash.Round(ctx, s, ledger, 8, rng); err != nil {
			t.Fatalf("round %d: %v", round, errors.Join(err, s.Kill()))
		}
	}
	s, err := bench.StartServer(ctx, binary, data, "rs-5-4", 9)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(crash.Verify(ctx, s.Addr, s.Token, ledger, 8), s.Stop()); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d operations acknowledged", ledger.Acks())
}
