package join

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
)

const (
	// waitingHeader is in the answers of a member that has no data and runs no etcd yet; its value, a ticket, tells such
	// processes apart.
	waitingHeader = "Drystone-Etcd-Waiting"
	// nameHeader has the member's name: an address may lead to another member than the one that is asked.
	nameHeader = "Drystone-Etcd-Name"
	// seenHeader has the tickets of those that this process has seen waiting.
	seenHeader = "Drystone-Etcd-Seen"
	// headerTimeout bounds how long a caller may take to ask.
	headerTimeout = 5 * time.Second
	// noData is what it tells everybody.
	noData = "this member has no data and waits for its cluster"
)

// room is where a member without data waits. On the addresses that its etcd will listen at for other members, it tells
// them that it has no data; on those for metrics, that it lives and is not ready.
type room struct {
	ticket        string
	peers, probes *http.Server
	served        sync.WaitGroup

	mu sync.Mutex
	// seen are tickets by the names of the members.
	seen map[string]string
}

// openRoom listens at all addresses. Close it before etcd starts.
func openRoom(ctx context.Context, s Settings) (*room, error) {
	r := &room{ticket: rand.Text(), seen: map[string]string{}}
	r.peers = newServer(ctx, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(waitingHeader, r.ticket)
		w.Header().Set(nameHeader, s.Name)
		w.Header().Set(seenHeader, strings.Join(r.tickets(), ","))
		// An etcd that asks takes this for no answer, and goes on to the next member.
		http.Error(w, noData, http.StatusServiceUnavailable)
	}))
	r.probes = newServer(ctx, probes())
	err := r.serve(r.peers, s.Listen, s.PeerTLS)
	if err == nil {
		err = r.serve(r.probes, s.Metrics, s.MetricsTLS)
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func newServer(ctx context.Context, h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
}

// probes answers as etcd will: without it whoever watches the process would end it for its patience.
func probes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, noData+"\n") })
	notReady := func(w http.ResponseWriter, _ *http.Request) { http.Error(w, noData, http.StatusServiceUnavailable) }
	mux.HandleFunc("GET /readyz", notReady)
	mux.HandleFunc("GET /health", notReady)
	return mux
}

// serve listens as etcd does.
func (r *room) serve(server *http.Server, at []url.URL, info transport.TLSInfo) error {
	for _, u := range at {
		with := &info
		if u.Scheme == "http" {
			with = nil
		}
		l, err := transport.NewListenerWithOpts(u.Host, u.Scheme, transport.WithTLSInfo(with))
		if err != nil {
			return fmt.Errorf("listen at %s while waiting: %w", u.String(), err)
		}
		r.served.Go(func() { _ = server.Serve(l) })
	}
	return nil
}

// note remembers that a member was seen waiting.
func (r *room) note(name, ticket string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen[name] = ticket
}

// saw tells whether a member was ever seen waiting.
func (r *room) saw(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[name] != ""
}

func (r *room) tickets() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.seen))
}

// Close frees the addresses.
func (r *room) Close() error {
	err := errors.Join(r.peers.Close(), r.probes.Close())
	r.served.Wait()
	if err != nil {
		return fmt.Errorf("stop listening: %w", err)
	}
	return nil
}
