package disk

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs/faultfs"
)

// TestHangingDisk: one that does not even say how full it is holds up nobody, and shows.
func TestHangingDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		d, arm := breaking(t, formatted(t), func(op faultfs.Op) error {
			if op.Kind == faultfs.Usage {
				<-release
			}
			return nil
		})
		arm.Store(true)
		for range 5 {
			d.Status()
			time.Sleep(time.Second)
		}
		if s := d.Status(); s.Sync < 4*time.Second || s.Detail == "" || s.Capacity == 0 {
			t.Errorf("while the disk hangs: %+v", s)
		}
		close(release)
		synctest.Wait()
		if s := d.Status(); s.Sync != 0 || s.Detail != "" {
			t.Errorf("afterwards: %+v", s)
		}
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// TestHangingReads: who comes later is not held up for longer than it can wait.
func TestHangingReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		d, arm := breaking(t, formatted(t), func(op faultfs.Op) error {
			if op.Kind == faultfs.Read && isChunk(op) {
				<-release
			}
			return nil
		})
		mustCreate(t, d, 1)
		mustAdd(t, d, 1, 0, random(1, 100))
		arm.Store(true)
		var hanging sync.WaitGroup
		for range maxReads {
			hanging.Go(func() {
				if _, err := d.Read(t.Context(), key(1), 0, 10, nil); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := d.Read(ctx, key(1), 0, 10, nil)
		wantReason(t, err, typesv1.Reason_REASON_DEADLINE_EXCEEDED)
		close(release)
		hanging.Wait()
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// TestHangingSync shows in the status while it lasts.
func TestHangingSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		d, arm := breaking(t, formatted(t), func(op faultfs.Op) error {
			if op.Kind == faultfs.Datasync && isChunk(op) {
				<-release
			}
			return nil
		})
		mustCreate(t, d, 1)
		arm.Store(true)
		answer := make(chan error, 1)
		a := frame(0, random(1, 10))
		a.Done = func(err error) { answer <- err }
		if err := d.Append(key(1), a); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if s := d.Status(); s.Sync < 5*time.Second || s.Detail == "" {
			t.Errorf("while a sync hangs: %+v", s)
		}
		close(release)
		if err := <-answer; err != nil {
			t.Error(err)
		}
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
