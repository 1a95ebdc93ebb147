package crash

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/drystone-store/drystone/services/tests/bench"
)

// MakeBucket makes the load's bucket; one that exists is fine.
func MakeBucket(ctx context.Context, addr, token string) error {
	c := bench.NewClient(addr, token)
	defer c.Close()
	status, _, text, err := c.Do(ctx, "PUT", "/v1/buckets/"+Bucket, []byte("{}"), true)
	if err != nil {
		return err
	}
	if status != 200 {
		return fmt.Errorf("make bucket: status %d: %s", status, text)
	}
	return nil
}

// listAll returns every key that the store lists.
func listAll(ctx context.Context, addr, token string) ([]string, error) {
	c := bench.NewClient(addr, token)
	defer c.Close()
	var keys []string
	var p struct {
		Objects       []struct{ Key string }
		NextPageToken string
	}
	for {
		status, _, text, err := c.Do(ctx, "GET", "/v1/buckets/"+Bucket+"/objects?pageToken="+url.QueryEscape(p.NextPageToken), nil, true)
		if err != nil {
			return nil, fmt.Errorf("list: %w", err)
		}
		if status != 200 {
			return nil, fmt.Errorf("list: status %d: %s", status, text)
		}
		p.Objects, p.NextPageToken = nil, ""
		if err := json.Unmarshal(text, &p); err != nil {
			return nil, fmt.Errorf("list: %w", err)
		}
		for _, o := range p.Objects {
			keys = append(keys, o.Key)
		}
		if p.NextPageToken == "" {
			return keys, nil
		}
	}
}
