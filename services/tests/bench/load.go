// Package bench loads a running store over REST in closed loops and says what it cost.
package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Target is the store under load.
type Target struct {
	Addr  string // REST, host:port
	Token string
	PIDs  []int // server processes, for CPU, memory and writes
}

// Result is one row of the table.
type Result struct {
	Op      string        `json:"op"`
	Size    int64         `json:"size"`
	Clients int           `json:"clients"`
	Ops     int64         `json:"ops"`
	Bytes   int64         `json:"bytes"`
	Elapsed time.Duration `json:"elapsed_ns"`
	P50     time.Duration `json:"p50_ns"`
	P99     time.Duration `json:"p99_ns"`
	Cost    Usage         `json:"cost"` // CPU and Written are differences, RSS and PeakRSS as at the end
}

// OpsPerSecond is the rate of operations; for LIST of keys.
func (r Result) OpsPerSecond() float64 { return float64(r.Ops) / r.Elapsed.Seconds() }

// MiBPerSecond is the rate of object bytes.
func (r Result) MiBPerSecond() float64 { return float64(r.Bytes) / (1 << 20) / r.Elapsed.Seconds() }

// Op does one operation of client c, the i-th in all; it returns the object bytes moved and how many things the
// operation counts for.
type Op func(ctx context.Context, client *Client, i int64) (bytes, count int64, err error)

// ErrDone ends a closed loop early: there is nothing left to do.
var ErrDone = errors.New("nothing left to do")

// Run drives op from n clients in closed loops until duration or limit operations are over, and measures.
func Run(ctx context.Context, t Target, name string, size int64, n int, duration time.Duration, limit int64, op Op) (Result, error) {
	before, err := ReadUsage(t.PIDs...)
	if err != nil {
		return Result{}, err
	}
	var next, bytes, count atomic.Int64
	latencies := make([][]time.Duration, n)
	failures := make([]error, n)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	start := time.Now()
	var wg sync.WaitGroup
	for c := range n {
		wg.Go(func() {
			client := NewClient(t.Addr, t.Token)
			defer client.Close()
			for time.Since(start) < duration && ctx.Err() == nil {
				i := next.Add(1) - 1
				if limit > 0 && i >= limit {
					return
				}
				begin := time.Now()
				b, k, err := op(ctx, client, i)
				if errors.Is(err, ErrDone) {
					return
				}
				if err != nil {
					failures[c] = fmt.Errorf("%s of client %d: %w", name, c, err)
					cancel()
					return
				}
				latencies[c] = append(latencies[c], time.Since(begin))
				bytes.Add(b)
				count.Add(k)
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(start)
	if err := errors.Join(failures...); err != nil {
		return Result{}, err
	}
	after, err := ReadUsage(t.PIDs...)
	if err != nil {
		return Result{}, err
	}
	after.CPU -= before.CPU
	after.Written -= before.Written
	all := slices.Concat(latencies...)
	slices.Sort(all)
	return Result{
		Op: name, Size: size, Clients: n, Ops: count.Load(), Bytes: bytes.Load(), Elapsed: elapsed,
		P50: quantile(all, 0.50), P99: quantile(all, 0.99), Cost: after,
	}, nil
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(float64(len(sorted))*q))]
}
