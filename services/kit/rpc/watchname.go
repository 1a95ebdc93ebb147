package rpc

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"
)

const (
	// lookEvery is how often a name is looked up that nobody misses anything from: new replicas are found by it, and
	// those that went without a word.
	lookEvery = 5 * time.Second
	// lookAgain is the least time between lookups, however many calls fail, and the time to the next one after a failed
	// lookup. gRPC's own resolver waits 30 s, and up to two minutes after failures: a pod is back sooner.
	lookAgain = time.Second
	// lookTimeout bounds a lookup.
	lookTimeout = 5 * time.Second
)

// Lookup finds the addresses of a host.
type Lookup func(ctx context.Context, host string) ([]string, error)

// nameWatch keeps looking a name up.
type nameWatch struct {
	host   string
	lookup Lookup
	poke   chan struct{}
}

func newNameWatch(host string, lookup Lookup) *nameWatch {
	return &nameWatch{host: host, lookup: lookup, poke: make(chan struct{}, 1)}
}

// soon asks for a lookup before its time: somebody cannot be reached.
func (w *nameWatch) soon() {
	select {
	case w.poke <- struct{}{}:
	default:
	}
}

// run tells found about each lookup until ctx ends: the addresses in order, at least one, or why there are none.
func (w *nameWatch) run(ctx context.Context, found func(addresses []string, err error)) {
	for ctx.Err() == nil {
		addresses, err := w.look(ctx)
		if ctx.Err() != nil {
			return
		}
		found(addresses, err)
		if !sleep(ctx, lookAgain) {
			return
		}
		if err != nil {
			continue
		}
		rest := time.NewTimer(lookEvery - lookAgain)
		select {
		case <-ctx.Done():
		case <-w.poke:
		case <-rest.C:
		}
		rest.Stop()
	}
}

func (w *nameWatch) look(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	addresses, err := w.lookup(ctx, w.host)
	switch {
	case err != nil:
		return nil, fmt.Errorf("look up %s: %w", w.host, err)
	case len(addresses) == 0:
		return nil, fmt.Errorf("look up %s: it has no address", w.host)
	}
	addresses = slices.Clone(addresses)
	slices.Sort(addresses)
	return slices.Compact(addresses), nil
}

// systemLookup asks the system's resolver.
func systemLookup(ctx context.Context, host string) ([]string, error) {
	return net.DefaultResolver.LookupHost(ctx, host) //nolint:wrapcheck // its caller does
}
