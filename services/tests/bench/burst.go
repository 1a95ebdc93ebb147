package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Burst is what many small PUTs at once cost together.
type Burst struct {
	Puts         int
	Elapsed      time.Duration
	SyncsPerDisk float64 // of the busiest disk
	Transactions float64 // of the metadata's head in etcd
}

// String is a sentence for people.
func (b Burst) String() string {
	return fmt.Sprintf("%d concurrent 4 KiB PUTs: %.0f syncs on the busiest disk, %.0f etcd transactions, %v",
		b.Puts, b.SyncsPerDisk, b.Transactions, b.Elapsed.Round(time.Millisecond))
}

// Metrics that the burst reads before and after.
const (
	syncsMetric = "drystone_chunkserver_sync_seconds_count"
	txnsMetric  = "drystone_metadata_batch_writes_count"
)

// RunBurst connects n clients first, lets all of them PUT 4 KiB at once, and counts syncs and transactions.
func RunBurst(ctx context.Context, s *Server, n int) (Burst, error) {
	if err := makeBucket(ctx, s.Target, "bench-burst"); err != nil {
		return Burst{}, err
	}
	clients := make([]*Client, n)
	for i := range clients {
		clients[i] = NewClient(s.Addr, s.Token)
		defer clients[i].Close()
		if err := expect(ctx, clients[i], "GET", "/healthz", nil, 200); err != nil {
			return Burst{}, err
		}
	}
	before, err := scrape(ctx, s.Metrics)
	if err != nil {
		return Burst{}, err
	}
	body := payload(4 << 10)
	failures := make([]error, n)
	gate := make(chan struct{})
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() {
			<-gate
			failures[i] = expect(ctx, c, "PUT", fmt.Sprintf("/v1/buckets/bench-burst/objects/%d", i), body, 200)
		})
	}
	start := time.Now()
	close(gate)
	wg.Wait()
	b := Burst{Puts: n, Elapsed: time.Since(start)}
	if err := errors.Join(failures...); err != nil {
		return Burst{}, err
	}
	after, err := scrape(ctx, s.Metrics)
	if err != nil {
		return Burst{}, err
	}
	for series, v := range after {
		d := v - before[series]
		switch {
		case strings.HasPrefix(series, syncsMetric):
			b.SyncsPerDisk = max(b.SyncsPerDisk, d)
		case strings.HasPrefix(series, txnsMetric):
			b.Transactions += d
		}
	}
	if b.SyncsPerDisk == 0 || b.Transactions == 0 {
		return b, fmt.Errorf("%s or %s did not move: the metrics listener does not count what the burst needs", syncsMetric, txnsMetric)
	}
	return b, nil
}

// scrape reads all series of a Prometheus text exposition.
func scrape(ctx context.Context, addr string) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("scrape metrics: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return nil, fmt.Errorf("scrape metrics: status %d: %s", resp.StatusCode, text)
	}
	series := map[string]float64{}
	scan := bufio.NewScanner(resp.Body)
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		line := scan.Text()
		cut := strings.LastIndexByte(line, ' ')
		if cut < 0 || line[0] == '#' {
			continue
		}
		if v, err := strconv.ParseFloat(line[cut+1:], 64); err == nil {
			series[line[:cut]] = v
		}
	}
	return series, scan.Err()
}
