package placement_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/app"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/origin"
	"github.com/drystone-store/drystone/services/kit/rpc"
	"github.com/drystone-store/drystone/services/placement"
	"github.com/drystone-store/drystone/services/placement/internal/etcdtest"
)

// TestTheServiceEndsWhenEtcdIsRestoredUnderIt restores while it runs; nobody stops it.
func TestTheServiceEndsWhenEtcdIsRestoredUnderIt(t *testing.T) {
	t.Parallel() // most of its time it waits for the connection
	etcd := etcdtest.Start(t, 1)
	registry := rpc.NewRegistry()
	service, err := placement.New(placement.Config{Name: "p"},
		app.Env{Log: slog.New(slog.DiscardHandler), Registry: registry}, etcd.Client(t, 0))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	client := placementv1.NewPlacementServiceClient(service.Server().InProcess())
	begin := func() error {
		_, err := client.StartTerm(t.Context(), &placementv1.StartTermRequest{Writer: "w"})
		return err
	}
	eventually(t, "a term", begin)

	snapshot := etcdtest.Snapshot(t, etcd.Client(t, 0))
	etcd.Stop(0)
	etcd.Restore(t, snapshot, "another")
	etcd.Restart(t, 0)
	deadline := time.After(patience)
	for {
		select {
		case err = <-ended:
			var foreign *origin.ForeignError
			if !errors.As(err, &foreign) {
				t.Errorf("run: %v", err)
			}
			return
		case <-deadline:
			t.Fatal("it goes on")
		default:
		}
		if err := begin(); !fault.Is(err, typesv1.Reason_REASON_UNAVAILABLE, typesv1.Reason_REASON_SHUTTING_DOWN) {
			t.Fatalf("a term on the other etcd: %v", err)
		}
	}
}
