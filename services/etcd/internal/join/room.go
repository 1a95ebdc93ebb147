package join

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
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
	// seenHeader has the tickets of those that this process has seen waiting.
	seenHeader = "Drystone-Etcd-Seen"
	// headerTimeout bounds how long a caller may take to ask.
	headerTimeout = 5 * time.Second
)

// room is where a member without data waits: on the addresses that its etcd will listen at for other members, it tells
// them that it has no data.
type room struct {
	ticket string
	server *http.Server
	served sync.WaitGroup

	mu sync.Mutex
	// seen are tickets by the names of the members.
	seen map[string]string
}

// openRoom listens at all addresses. Close it before etcd starts.
func openRoom(ctx context.Context, s Settings) (*room, error) {
	r := &room{ticket: rand.Text(), seen: map[string]string{}}
	r.server = &http.Server{
		ReadHeaderTimeout: headerTimeout,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(waitingHeader, r.ticket)
			w.Header().Set(seenHeader, strings.Join(r.tickets(), ","))
			// An etcd that asks takes this for no answer, and goes on to the next member.
			http.Error(w, "this member has no data and waits for its cluster", http.StatusServiceUnavailable)
		}),
	}
	for _, u := range s.Listen {
		l, err := transport.NewListenerWithOpts(u.Host, u.Scheme, transport.WithTLSInfo(&s.PeerTLS))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("listen for other members at %s: %w", u.String(), err), r.Close())
		}
		r.served.Go(func() { _ = r.server.Serve(l) })
	}
	return r, nil
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
	err := r.server.Close()
	r.served.Wait()
	if err != nil {
		return fmt.Errorf("stop listening for other members: %w", err)
	}
	return nil
}
