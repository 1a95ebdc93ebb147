package placement_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drystone-store/drystone/services/kit/config"
	"github.com/drystone-store/drystone/services/kit/log"
	"github.com/drystone-store/drystone/services/placement"
)

func TestConfig(t *testing.T) {
	for _, c := range []struct {
		name string
		yaml string
		want []string // parts of the error; none: valid
	}{
		{"the least", "name: p", nil},
		{"all of it", `
name: p
listen: 127.0.0.1:7100
etcd: {endpoints: [127.0.0.1:2379], tls: {ca_file: /ca, cert_file: /cert, key_file: /key}}
default_scheme: rs-5-4
expected_nodes: 9
suspect_after: 2s
down_after: 4s
volume_size: 64MiB
`, nil},
		{"no name", "listen: 127.0.0.1:1", []string{"name"}},
		{"an unknown field", "name: p\nsize: 3", []string{"size"}},
		{"everything wrong", `
listen: here
default_scheme: rs-5
expected_nodes: -1
suspect_after: 10ms
down_after: 5ms
volume_size: 1KiB
etcd: {tls: {cert_file: /cert}}
`, []string{"etcd.tls: ca_file", "key_file", "name", "listen", "default_scheme", "expected_nodes", "suspect_after", "down_after", "volume_size"}},
		{"a late suspicion moves the default of down_after", "name: p\nsuspect_after: 20s", nil},
		{"a huge volume", "name: p\nvolume_size: 1TiB", []string{"volume_size"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := config.Parse([]byte(c.yaml), &placement.Config{})
			if (err != nil) != (len(c.want) > 0) {
				t.Fatalf("error: %v", err)
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not named in: %v", part, err)
				}
			}
		})
	}
	var got placement.Config
	if err := config.Parse([]byte("name: p\nvolume_size: 2GiB\ndown_after: 1m"), &got); err != nil {
		t.Fatal(err)
	}
	want := placement.Config{Name: "p", VolumeSize: 2 << 30, DownAfter: time.Minute}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parsed (-want +got):\n%s", diff)
	}
}

func TestDialNeedsEndpoints(t *testing.T) {
	if _, err := (placement.Etcd{}).Dial(log.Discard()); err == nil || !strings.Contains(err.Error(), "etcd.endpoints") {
		t.Errorf("dialled nothing: %v", err)
	}
	client, err := placement.Etcd{Endpoints: []string{"127.0.0.1:1"}}.Dial(log.Discard())
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
}
