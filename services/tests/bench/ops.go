package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"
)

// Plan says what a full run measures.
type Plan struct {
	Sizes    []int64
	Clients  []int
	Duration time.Duration // of each cell
	MaxBytes int64         // of each PUT cell, so that large sizes do not fill the disk
	ListKeys int64         // 0: LIST is not measured
}

// maxKeys bounds the objects that a PUT cell makes, and with them the memory of the store's index.
const maxKeys = 200_000

// RunSize measures PUT, GET, STAT and DELETE of one size with one number of clients, in a bucket of its own.
func RunSize(ctx context.Context, t Target, p Plan, size int64, clients int, report func(Result)) error {
	bucket := fmt.Sprintf("bench-%d-%d", size, clients)
	if err := makeBucket(ctx, t, bucket); err != nil {
		return err
	}
	path := func(i int64) string { return "/v1/buckets/" + bucket + "/objects/o/" + strconv.FormatInt(i, 10) }
	body := payload(size)
	put := func(ctx context.Context, c *Client, i int64) (int64, int64, error) {
		return size, 1, expect(ctx, c, "PUT", path(i), body, 200)
	}
	limit := int64(maxKeys)
	if size > 0 {
		limit = max(int64(clients), min(limit, p.MaxBytes/size))
	}
	r, err := Run(ctx, t, "PUT", size, clients, p.Duration, limit, put)
	if err != nil {
		return err
	}
	report(r)
	made := r.Ops
	get := func(ctx context.Context, c *Client, _ int64) (int64, int64, error) {
		return size, 1, expect(ctx, c, "GET", path(rand.Int64N(made)), nil, 200)
	}
	if r, err = Run(ctx, t, "GET", size, clients, p.Duration, 0, get); err != nil {
		return err
	}
	report(r)
	stat := func(ctx context.Context, c *Client, _ int64) (int64, int64, error) {
		return 0, 1, expect(ctx, c, "HEAD", path(rand.Int64N(made)), nil, 200)
	}
	if r, err = Run(ctx, t, "STAT", size, clients, p.Duration, 0, stat); err != nil {
		return err
	}
	report(r)
	remove := func(ctx context.Context, c *Client, i int64) (int64, int64, error) {
		return 0, 1, expect(ctx, c, "DELETE", path(i), nil, 204)
	}
	if r, err = Run(ctx, t, "DELETE", size, clients, p.Duration, made, remove); err != nil {
		return err
	}
	report(r)
	return nil
}

// RunList fills a bucket with keys of 4 KiB objects and measures scanning all of them, page by page, per client.
func RunList(ctx context.Context, t Target, p Plan, report func(Result)) error {
	const bucket, clients = "bench-list", 64
	if err := makeBucket(ctx, t, bucket); err != nil {
		return err
	}
	body := payload(4 << 10)
	fill := func(ctx context.Context, c *Client, i int64) (int64, int64, error) {
		return 4 << 10, 1, expect(ctx, c, "PUT", fmt.Sprintf("/v1/buckets/%s/objects/dir-%03d/key-%07d", bucket, i%100, i), body, 200)
	}
	if _, err := Run(ctx, t, "fill", 4<<10, clients, time.Hour, p.ListKeys, fill); err != nil {
		return err
	}
	for _, n := range []int{1, 16} {
		tokens := make([]atomic.Value, n)
		list := func(ctx context.Context, c *Client, i int64) (int64, int64, error) {
			slot := &tokens[i%int64(n)]
			token, _ := slot.Swap("").(string)
			page, err := listPage(ctx, c, "/v1/buckets/"+bucket+"/objects?pageSize=1000&pageToken="+url.QueryEscape(token))
			slot.Store(page.NextPageToken)
			return 0, int64(len(page.Objects)), err
		}
		r, err := Run(ctx, t, "LIST", 0, n, p.Duration, 0, list)
		if err != nil {
			return err
		}
		report(r)
	}
	return nil
}

// page is what the bench needs of a list response; decoding more would measure the client.
type page struct {
	Objects       []struct{} `json:"objects"`
	NextPageToken string     `json:"nextPageToken"`
}

func listPage(ctx context.Context, c *Client, path string) (page, error) {
	var p page
	status, _, body, err := c.Do(ctx, "GET", path, nil, true)
	if err != nil {
		return p, err
	}
	if status != 200 {
		return p, fmt.Errorf("GET %s: status %d: %s", path, status, body)
	}
	return p, json.Unmarshal(body, &p)
}

func makeBucket(ctx context.Context, t Target, name string) error {
	c := NewClient(t.Addr, t.Token)
	defer c.Close()
	return expect(ctx, c, "PUT", "/v1/buckets/"+name, []byte("{}"), 200)
}

func expect(ctx context.Context, c *Client, method, path string, body []byte, want int) error {
	status, _, text, err := c.Do(ctx, method, path, body, false)
	if err != nil {
		return err
	}
	if status != want {
		return fmt.Errorf("%s %s: status %d, want %d: %s", method, path, status, want, text)
	}
	return nil
}

// payload is incompressible and the same for every object of a size: the store must not profit from zeros.
func payload(size int64) []byte {
	b := make([]byte, size)
	var seed [32]byte
	_, _ = rand.NewChaCha8(seed).Read(b)
	return b
}
