// Package frontdoor is the public face of the store: REST and gRPC, authentication, packing and coding of what comes
// in, reading of what goes out. It owns no state; any front-door will do.
package frontdoor

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/drystone-store/drystone/services/frontdoor/internal/object"
	"github.com/drystone-store/drystone/services/kit/config"
)

const (
	defaultGrace = 10 * time.Second
	// restHeadStart ends a REST request's connection before the call behind it: nobody is to blame then, and nobody warned.
	restHeadStart = 500 * time.Millisecond
)

// Defaults of Budgets. Together with what the mesh's clients hold they keep a front-door well below 1 GiB.
const (
	// A thousand small uploads at once share their batches; more only wait for the same disks.
	defaultPuts = 1024
	// A download holds two stripes of its object at most, within read_memory.
	defaultGets = 512
	// A listing's page is a millisecond of one core.
	defaultLists = 64
	// Deletes, stats and buckets: small calls that wait for metadata together.
	defaultOthers = 1024
	defaultQueue  = 1024
	// Longer than a burst takes, shorter than a client's own timeout.
	defaultWait = 5 * time.Second

	defaultBodyMemory   = 128 << 20
	defaultStripeMemory = 256 << 20
	defaultReadMemory   = 192 << 20
)

// Config configures a front-door. Its fields' zero values are usable where nothing else is said.
type Config struct {
	// Name of this replica in logs and in the volumes it writes.
	Name string `yaml:"name"`
	// RESTListen and GRPCListen are `host:port`; port 0 takes a free one. One of them may be empty: not served.
	RESTListen string `yaml:"rest_listen"`
	GRPCListen string `yaml:"grpc_listen"`
	// Metadata and Placement have the targets of all replicas: `host:port` of one, or `dns:///host:port` for all behind a
	// name.
	Metadata  []string `yaml:"metadata"`
	Placement []string `yaml:"placement"`
	// TokenFile holds the root token, at least 16 bytes, readable by its owner only.
	TokenFile config.SecretFile `yaml:"token_file"`
	Budgets   Budgets           `yaml:"budgets"`
	// Grace is how long running requests may take to end at a stop; then they are cut off, and nothing of them is stored.
	// 0 means 10 s: less than what Kubernetes waits.
	Grace time.Duration `yaml:"grace"`
	// Notice is for how long requests are still taken after the signal to stop, before Grace begins: /readyz and health say
	// that it stops, and answers end their connections. As long as load balancers need to send clients elsewhere; 0: none.
	Notice time.Duration `yaml:"notice"`
}

// Budgets bound what runs at once and what it holds in memory. 0 means the default.
type Budgets struct {
	// BodyMemory holds uploads on their way in: small objects whole, and the messages of large ones.
	BodyMemory config.Size `yaml:"body_memory"`
	// StripeMemory holds stripes of large uploads, parity included.
	StripeMemory config.Size `yaml:"stripe_memory"`
	// ReadMemory holds what downloads fetched ahead.
	ReadMemory config.Size `yaml:"read_memory"`
	// MaxPuts, MaxGets and MaxLists run at once at most; MaxOthers is for deletes, stats and buckets.
	MaxPuts   int `yaml:"max_puts"`
	MaxGets   int `yaml:"max_gets"`
	MaxLists  int `yaml:"max_lists"`
	MaxOthers int `yaml:"max_others"`
	// Queue is how many of each kind may wait for their turn, and Wait how long.
	Queue int           `yaml:"queue"`
	Wait  time.Duration `yaml:"wait"`
}

// Validate reports everything that is wrong.
func (c Config) Validate() error {
	var errs []error
	if c.Name == "" {
		errs = append(errs, errors.New("name: is needed"))
	}
	if c.RESTListen == "" && c.GRPCListen == "" {
		errs = append(errs, errors.New("rest_listen, grpc_listen: at least one is needed"))
	}
	for _, l := range []struct{ field, address string }{{"rest_listen", c.RESTListen}, {"grpc_listen", c.GRPCListen}} {
		if l.address == "" {
			continue
		}
		if _, _, err := net.SplitHostPort(l.address); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", l.field, err))
		}
	}
	if len(c.Metadata) == 0 {
		errs = append(errs, errors.New("metadata: at least one target is needed"))
	}
	if len(c.Placement) == 0 {
		errs = append(errs, errors.New("placement: at least one target is needed"))
	}
	if c.TokenFile == "" {
		errs = append(errs, errors.New("token_file: is needed"))
	}
	if c.Grace < 0 {
		errs = append(errs, errors.New("grace: it is negative"))
	}
	if c.Notice < 0 {
		errs = append(errs, errors.New("notice: it is negative"))
	}
	return errors.Join(append(errs, c.Budgets.validate()...)...)
}

func (b Budgets) validate() []error {
	var errs []error
	for _, n := range []struct {
		field string
		value int64
	}{
		{"body_memory", int64(b.BodyMemory)},
		{"stripe_memory", int64(b.StripeMemory)},
		{"read_memory", int64(b.ReadMemory)},
		{"max_puts", int64(b.MaxPuts)},
		{"max_gets", int64(b.MaxGets)},
		{"max_lists", int64(b.MaxLists)},
		{"max_others", int64(b.MaxOthers)},
		{"queue", int64(b.Queue)},
		{"wait", int64(b.Wait)},
	} {
		if n.value < 0 {
			errs = append(errs, fmt.Errorf("budgets.%s: it is negative", n.field))
		}
	}
	return errs
}

func (b Budgets) limits() object.Limits {
	return object.Limits{
		Puts:       cmp.Or(b.MaxPuts, defaultPuts),
		Gets:       cmp.Or(b.MaxGets, defaultGets),
		Lists:      cmp.Or(b.MaxLists, defaultLists),
		Others:     cmp.Or(b.MaxOthers, defaultOthers),
		Queue:      cmp.Or(b.Queue, defaultQueue),
		Wait:       cmp.Or(b.Wait, defaultWait),
		BodyMemory: cmp.Or(int64(b.BodyMemory), defaultBodyMemory),
	}
}
