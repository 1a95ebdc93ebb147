package drystone

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestCrewStopsInOrderAndWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		c := newCrew(t.Context(), 3)
		service := func(name string, takes time.Duration) {
			c.start(name, func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(takes)
				order = append(order, name)
				return ctx.Err()
			})
		}
		service("a", time.Second)
		service("b", 2*time.Second)
		service("c", 0)
		for _, name := range []string{"b", "c", "a"} {
			if err := c.stop(t.Context(), func(n string) bool { return n == name }); err != nil {
				t.Error(err)
			}
		}
		if got := strings.Join(order, " "); got != "b c a" {
			t.Errorf("ended in the order %s", got)
		}
	})
}

func TestCrewTellsWhoEndedUnasked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t.Context(), 2)
		c.start("fine", func(ctx context.Context) error { <-ctx.Done(); return nil })
		c.start("broken", func(context.Context) error { return errors.New("no disk") })
		if err := (<-c.ended).failure(); err.Error() != "broken: no disk" {
			t.Errorf("failure: %v", err)
		}
		err := c.stop(t.Context(), func(string) bool { return true })
		if err == nil || err.Error() != "stop broken: no disk" {
			t.Errorf("stop: %v", err)
		}
	})
}

func TestCrewDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t.Context(), 1)
		release := make(chan struct{})
		c.start("stuck", func(context.Context) error { <-release; return nil })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.stop(ctx, func(string) bool { return true }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("stop: %v", err)
		}
		close(release)
	})
}
