// Package kubeinit makes the Secrets that Drystone's pods need on Kubernetes, and renews the certificates in them.
//
// Constraints:
//
//  1. Nothing that it says or returns holds a secret.
//  2. What is there stays: of the root Secret every key, of etcd's its CA. Only certificates are made anew, when they
//     near their end or lack a host.
//  3. Any number of runs may work at once: one creates or changes a Secret, the others read what it made.
package kubeinit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/kube"
)

// maxTries bounds how often a Secret is read again that others change at the same time.
const maxTries = 5

// API is the part of Kubernetes that this package needs.
type API interface {
	Secret(ctx context.Context, name string) (kube.Secret, error)
	CreateSecret(ctx context.Context, s kube.Secret) (kube.Secret, error)
	UpdateSecret(ctx context.Context, s kube.Secret) (kube.Secret, error)
}

// Options say which Secrets to make.
type Options struct {
	// RootSecret holds the root token and the root's S3 credentials; empty: none is made.
	RootSecret string
	// EtcdSecret holds the certificates of etcd and its clients, EtcdCASecret what signs them; empty: none are made.
	EtcdSecret, EtcdCASecret string
	// EtcdHosts are the names and addresses by which etcd's members are called; `*.x` covers one label.
	EtcdHosts []string
	// Labels are put on Secrets that are made.
	Labels map[string]string
}

// Done is what became of one Secret.
type Done struct {
	Secret string `json:"secret"`
	// Action is made, changed or kept.
	Action string `json:"action"`
	// Keys are those that were set.
	Keys []string `json:"keys,omitempty"`
}

// Actions of Done.
const (
	Made    = "made"
	Changed = "changed"
	Kept    = "kept"
)

// Run makes what is missing and renews what is old; done hears of each Secret. Errors: those of the API, contents that
// people have to mend, what done returns.
func Run(ctx context.Context, api API, o Options, done func(Done) error) error {
	r := runner{api: api, options: o, done: done, now: clock.Now}
	return r.run(ctx)
}

// runner is one run.
type runner struct {
	api     API
	options Options
	done    func(Done) error
	now     func() time.Time
}

func (r *runner) run(ctx context.Context) error {
	if name := r.options.RootSecret; name != "" {
		if _, err := r.ensure(ctx, name, rootKeys); err != nil {
			return fmt.Errorf("secret %s: %w", name, err)
		}
	}
	if r.options.EtcdSecret == "" {
		return nil
	}
	return r.etcd(ctx)
}

// ensure creates or completes a Secret. missing is given the keys that it has, nil when there is no such Secret, and
// returns those to set. It may be called several times.
func (r *runner) ensure(ctx context.Context, name string, missing func(have map[string][]byte) (map[string][]byte, error)) (kube.Secret, error) {
	var err error
	for range maxTries {
		var s kube.Secret
		var d Done
		if s, d, err = r.once(ctx, name, missing); err == nil {
			return s, r.done(d)
		}
		if !errors.Is(err, kube.ErrExists) && !errors.Is(err, kube.ErrConflict) && !errors.Is(err, errGone) {
			return kube.Secret{}, explain(err)
		}
	}
	return kube.Secret{}, fmt.Errorf("others change it all the time: %w", err)
}

// errGone means that a Secret was removed between reading and changing it.
var errGone = errors.New("removed meanwhile")

func (r *runner) once(ctx context.Context, name string, missing func(map[string][]byte) (map[string][]byte, error)) (kube.Secret, Done, error) {
	s, err := r.api.Secret(ctx, name)
	absent := errors.Is(err, kube.ErrNotFound)
	if err != nil && !absent {
		return s, Done{}, err
	}
	if !absent && s.Data == nil {
		s.Data = map[string][]byte{}
	}
	set, err := missing(s.Data)
	if err != nil {
		return s, Done{}, err
	}
	d := Done{Secret: name, Action: Kept, Keys: slices.Sorted(maps.Keys(set))}
	switch {
	case absent:
		d.Action = Made
		s, err = r.api.CreateSecret(ctx, kube.Secret{Name: name, Labels: r.options.Labels, Data: set})
	case len(set) > 0:
		d.Action = Changed
		s, err = r.api.UpdateSecret(ctx, kube.Secret{Name: name, ResourceVersion: s.ResourceVersion, Data: set})
		if errors.Is(err, kube.ErrNotFound) {
			err = fmt.Errorf("%w: %w", errGone, err)
		}
	}
	return s, d, err
}

// explain adds to a refusal what is to be done about it.
func explain(err error) error {
	if errors.Is(err, kube.ErrForbidden) {
		return fmt.Errorf("%w: its service account needs a Role that may get, create and patch secrets; the chart's renewal may not create them, helm upgrade makes what is missing", err)
	}
	return err
}

// filled checks that a key that is there has a value.
func filled(have map[string][]byte, keys ...string) error {
	for _, key := range keys {
		if value, ok := have[key]; ok && strings.TrimSpace(string(value)) == "" {
			return fmt.Errorf("its key %s is empty: give it a value, or remove the key for a new one", key)
		}
	}
	return nil
}
