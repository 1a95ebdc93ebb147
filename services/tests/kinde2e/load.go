package kinde2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/drystone-store/drystone/services/tests/crash"
)

const (
	bucket  = "e2e"
	writers = 3
	readers = 3
	// keysPerWriter bounds the store's size; keys are written again and again.
	keysPerWriter = 300
	// writePause and readPause keep the load from being all that a small machine does.
	writePause = 40 * time.Millisecond
	readPause  = 20 * time.Millisecond
	// maxViolations is how many are kept in words.
	maxViolations = 20
)

// Load reads and writes without a pause and holds the store to what it acknowledged.
type load struct {
	client *client
	ledger *crash.Ledger

	mu sync.Mutex
	// settled are keys with an acknowledged value that nobody is writing, the only ones that readers may judge.
	settled map[string]crash.Value
	now     Counts
	lastAck time.Time
}

// Counts are what the load saw during a drill.
type Counts struct {
	Puts, PutErrors      int
	Gets, Retried        int
	WriteGap, SlowestGet time.Duration
	// Violations are reads that failed twice, or gave other bytes than were acknowledged.
	Violations []string
}

func newLoad(c *client) *load {
	return &load{client: c, ledger: crash.NewLedger(), settled: map[string]crash.Value{}, lastAck: time.Now()}
}

// run works until ctx ends.
func (l *load) run(ctx context.Context) {
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() { l.write(ctx, w) })
	}
	for r := range readers {
		wg.Go(func() { l.read(ctx, uint64(r)) })
	}
	wg.Wait()
}

func path(key string) string { return "/v1/buckets/" + bucket + "/objects/" + key }

func (l *load) write(ctx context.Context, w int) {
	rng := rand.New(rand.NewPCG(uint64(w), 1))
	for ctx.Err() == nil {
		key := fmt.Sprintf("w%d/k%d", w, rng.IntN(keysPerWriter))
		value := crash.Value{Present: true, Seed: rng.Uint64(), Size: size(rng)}
		l.mu.Lock()
		delete(l.settled, key)
		l.mu.Unlock()
		l.ledger.Begin(key, value)
		status, _, err := l.client.do(ctx, http.MethodPut, path(key), value.Payload(key))
		if err == nil && status == http.StatusOK {
			l.ledger.Acknowledge(key, value)
			l.acknowledged(key, value)
		} else if ctx.Err() == nil {
			l.mu.Lock()
			l.now.PutErrors++
			l.mu.Unlock()
		}
		pause(ctx, writePause)
	}
}

// size mixes packed and streamed objects.
func size(rng *rand.Rand) int64 {
	if rng.IntN(10) == 0 {
		return 256<<10 + rng.Int64N(2<<20)
	}
	return rng.Int64N(64 << 10)
}

func (l *load) acknowledged(key string, value crash.Value) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settled[key] = value
	l.now.Puts++
	l.gap()
	l.lastAck = time.Now()
}

// gap takes in how long no write was acknowledged. The lock is held.
func (l *load) gap() { l.now.WriteGap = max(l.now.WriteGap, time.Since(l.lastAck)) }

func (l *load) read(ctx context.Context, r uint64) {
	rng := rand.New(rand.NewPCG(r, 2))
	for ctx.Err() == nil {
		if key, want, ok := l.pick(rng); ok {
			l.check(ctx, key, want)
		}
		pause(ctx, readPause)
	}
}

// pick chooses a settled key.
func (l *load) pick(rng *rand.Rand) (string, crash.Value, bool) {
	key := fmt.Sprintf("w%d/k%d", rng.IntN(writers), rng.IntN(keysPerWriter))
	l.mu.Lock()
	defer l.mu.Unlock()
	v, ok := l.settled[key]
	return key, v, ok
}

// check reads a key and judges what comes, unless somebody wrote it meanwhile.
func (l *load) check(ctx context.Context, key string, want crash.Value) {
	begin := time.Now()
	status, body, retried, err := l.client.get(ctx, path(key))
	took := time.Since(begin)
	if ctx.Err() != nil {
		return
	}
	wrong := ""
	switch {
	case err != nil:
		wrong = fmt.Sprintf("GET %s failed twice: %v", key, err)
	case status != http.StatusOK:
		wrong = fmt.Sprintf("GET %s: status %d: %.300s", key, status, body)
	case string(want.Payload(key)) != string(body):
		wrong = fmt.Sprintf("GET %s: %d bytes that nobody wrote there", key, len(body))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.settled[key] != want {
		return
	}
	l.now.Gets++
	l.now.SlowestGet = max(l.now.SlowestGet, took)
	if retried {
		l.now.Retried++
	}
	if wrong != "" && len(l.now.Violations) < maxViolations {
		l.now.Violations = append(l.now.Violations, wrong)
	}
}

// take returns the counts since the last call.
func (l *load) take() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gap()
	counts := l.now
	l.now = Counts{}
	l.lastAck = time.Now()
	return counts
}

// verify reads every key that was ever acknowledged, once the load has ended.
func (l *load) verify(ctx context.Context) (int, []string) {
	var wrong []string
	keys := l.ledger.Keys()
	for _, key := range keys {
		status, body, _, err := l.client.get(ctx, path(key))
		switch {
		case err != nil:
			wrong = append(wrong, fmt.Sprintf("%s: %v", key, err))
		case status == http.StatusOK || status == http.StatusNotFound:
			if err := l.ledger.Check(key, status == http.StatusOK, body); err != nil {
				wrong = append(wrong, err.Error())
			}
		default:
			wrong = append(wrong, fmt.Sprintf("%s: status %d: %.300s", key, status, body))
		}
	}
	return len(keys), slices.Clip(wrong)
}
