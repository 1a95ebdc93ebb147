package rpc

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestNameWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		answer, err := []string{"b", "a", "b"}, error(nil)
		set := func(a []string, e error) {
			mu.Lock()
			defer mu.Unlock()
			answer, err = a, e
		}
		var looked []time.Duration
		var last []string
		var lastErr error
		begin := time.Now()
		w := newNameWatch("h", func(_ context.Context, _ string) ([]string, error) {
			mu.Lock()
			defer mu.Unlock()
			looked = append(looked, time.Since(begin))
			return answer, err
		})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			w.run(ctx, func(addresses []string, err error) { last, lastErr = addresses, err })
		}()
		pass := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		pass(0)
		if diff := cmp.Diff([]string{"a", "b"}, last); diff != "" || lastErr != nil {
			t.Errorf("found %v, %v", last, lastErr)
		}
		pass(2 * time.Second)
		w.soon()
		w.soon()
		pass(0) // at 2 s
		gone := errors.New("no such host")
		set(nil, gone)
		w.soon()              // not before 3 s
		pass(2 * time.Second) // at 4 s; it failed at 3 s
		if last != nil || !errors.Is(lastErr, gone) {
			t.Errorf("found %v, %v", last, lastErr)
		}
		set(nil, nil)
		pass(time.Second) // at 5 s
		if lastErr == nil {
			t.Error("no address was found without an error")
		}
		set([]string{"c"}, nil)
		pass(12 * time.Second) // at 17 s
		stop()
		<-ended
		want := []time.Duration{0, 2 * time.Second, 3 * time.Second, 4 * time.Second, 5 * time.Second, 6 * time.Second, 11 * time.Second, 16 * time.Second}
		if diff := cmp.Diff(want, looked); diff != "" {
			t.Errorf("lookups (-want +got):\n%s", diff)
		}
	})
}
