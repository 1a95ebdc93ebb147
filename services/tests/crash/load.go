package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"

	"github.com/drystone-store/drystone/services/tests/bench"
)

// Bucket is the bucket that the load uses.
const Bucket = "crash"

// keysPerClient bounds the keys of one client, so that overwrites and deletes happen too.
const keysPerClient = 400

// Load writes and deletes with n clients until ctx ends or the store stops answering, and notes all of it.
func Load(ctx context.Context, addr, token string, l *Ledger, n int, seed uint64) {
	var wg sync.WaitGroup
	for c := range n {
		wg.Go(func() {
			client := bench.NewClient(addr, token)
			defer client.Close()
			rng := rand.New(rand.NewPCG(seed, uint64(c)))
			for ctx.Err() == nil {
				key := fmt.Sprintf("client %d/key %d", c, rng.IntN(keysPerClient))
				v := randomValue(rng)
				if !step(ctx, client, l, key, v) {
					return
				}
			}
		})
	}
	wg.Wait()
}

// step does one operation; false means that the store has gone.
func step(ctx context.Context, client *bench.Client, l *Ledger, key string, v Value) bool {
	l.Begin(key, v)
	method, body, want := "DELETE", []byte(nil), 204
	if v.Present {
		method, body, want = "PUT", v.Payload(key), 200
	}
	status, _, _, err := client.Do(ctx, method, path(key), body, false)
	switch {
	case err != nil:
		return false
	case status == want:
		l.Acknowledge(key, v)
	case status >= 400 && status < 500:
		l.Refuse(key, v)
	}
	return true
}

// randomValue mixes what the store treats differently: nothing, packed, split, streamed, deleted.
func randomValue(rng *rand.Rand) Value {
	v := Value{Present: true, Seed: rng.Uint64()}
	switch p := rng.IntN(100); {
	case p < 8:
		return Value{}
	case p < 12:
		v.Size = 0
	case p < 75:
		v.Size = 1 + rng.Int64N(16<<10)
	case p < 95:
		v.Size = rng.Int64N(256 << 10)
	default:
		v.Size = rng.Int64N(6 << 20)
	}
	return v
}

// Verify reads every key of the ledger, and every name that the store lists, and joins what is wrong.
func Verify(ctx context.Context, addr, token string, l *Ledger, n int) error {
	keys := l.Keys()
	known := make(map[string]bool, len(keys))
	for _, key := range keys {
		known[key] = true
	}
	listed, err := listAll(ctx, addr, token)
	if err != nil {
		return err
	}
	var wrong []error
	for _, key := range listed {
		if !known[key] {
			wrong = append(wrong, fmt.Errorf("the store lists %q, which nobody wrote", key))
		}
	}
	work := make(chan string)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			client := bench.NewClient(addr, token)
			defer client.Close()
			for key := range work {
				if err := verifyKey(ctx, client, l, key); err != nil {
					mu.Lock()
					wrong = append(wrong, err)
					mu.Unlock()
				}
			}
		})
	}
	for _, key := range keys {
		work <- key
	}
	close(work)
	wg.Wait()
	return errors.Join(wrong...)
}

func verifyKey(ctx context.Context, client *bench.Client, l *Ledger, key string) error {
	status, _, body, err := client.Do(ctx, "GET", path(key), nil, true)
	switch {
	case err != nil:
		return fmt.Errorf("key %q: %w", key, err)
	case status == 200:
		return l.Check(key, true, body)
	case status == 404:
		return l.Check(key, false, nil)
	default:
		return fmt.Errorf("key %q: status %d: %s", key, status, body)
	}
}

func path(key string) string {
	return "/v1/buckets/" + Bucket + "/objects/" + strings.ReplaceAll(url.PathEscape(key), "%2F", "/")
}
