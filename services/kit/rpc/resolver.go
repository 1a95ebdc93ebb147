package rpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"google.golang.org/grpc/resolver"
)

// dnsScheme is gRPC's for names that are looked up, which is also what targets without a scheme are.
const dnsScheme = "dns"

// names is gRPC's "dns" resolver for our connections, in the place of gRPC's own, whose pauses are too long for pods and
// can only be changed for the whole process. What was found last stays in use while the name does not resolve: whether a
// peer lives is for its connection to find out.
type names struct{ lookup Lookup }

// Scheme implements resolver.Builder.
func (names) Scheme() string { return dnsScheme }

// Build implements resolver.Builder.
func (n names) Build(target resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	if target.URL.Host != "" {
		return nil, fmt.Errorf("target %q: names are looked up where the system does, not by %s", target, target.URL.Host)
	}
	host, port, err := hostPort(target.Endpoint())
	if err != nil {
		return nil, err
	}
	if net.ParseIP(host) != nil {
		if err := cc.UpdateState(state([]string{host}, port)); err != nil {
			return nil, fmt.Errorf("target %q: %w", target.Endpoint(), err)
		}
		return literal{}, nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &watching{watch: newNameWatch(host, n.lookup), cancel: cancel}
	r.done.Go(func() {
		known := false
		r.watch.run(ctx, func(addresses []string, err error) {
			switch {
			case err == nil:
				known = true
				_ = cc.UpdateState(state(addresses, port)) // an error only asks for another lookup, which comes
			case !known:
				cc.ReportError(err)
			}
		})
	})
	return r, nil
}

// hostPort splits an endpoint; without a host it is this one. Errors: no port.
func hostPort(endpoint string) (host, port string, err error) {
	host, port, err = net.SplitHostPort(endpoint)
	if err == nil && port == "" {
		err = errors.New("no port")
	}
	if err != nil {
		return "", "", fmt.Errorf("target %q: want host:port: %w", endpoint, err)
	}
	return cmp.Or(host, "localhost"), port, nil
}

// named says whether a target is a name to look up, and which.
func named(target string) (endpoint string, ok bool) {
	endpoint, ok = strings.CutPrefix(target, dnsScheme+":///")
	return endpoint, ok || !strings.Contains(target, "://") && !strings.HasPrefix(target, unixScheme)
}

// state has an endpoint for each address.
func state(addresses []string, port string) resolver.State {
	var s resolver.State
	for _, a := range addresses {
		s.Endpoints = append(s.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{{Addr: net.JoinHostPort(a, port)}}})
	}
	return s
}

// watching is the resolver of a name.
type watching struct {
	watch  *nameWatch
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// ResolveNow implements resolver.Resolver.
func (r *watching) ResolveNow(resolver.ResolveNowOptions) { r.watch.soon() }

// Close implements resolver.Resolver.
func (r *watching) Close() {
	r.cancel()
	r.done.Wait()
}

// literal is the resolver of an IP address.
type literal struct{}

// ResolveNow implements resolver.Resolver.
func (literal) ResolveNow(resolver.ResolveNowOptions) {}

// Close implements resolver.Resolver.
func (literal) Close() {}
