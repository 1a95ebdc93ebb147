package join

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
)

const (
	// askTimeout bounds one question to one member, its name's look-up included.
	askTimeout = 2 * time.Second
	// maxAnswer bounds a list of members; of the largest cluster that etcd advises it is 2 KiB.
	maxAnswer = 1 << 20
)

// state is what a member says of itself.
type state int

const (
	// silent: it does not answer, or not as a member does.
	silent state = iota
	// waiting: it has no data, and waits as this member does.
	waiting
	// forming: it runs etcd, and knows of no member that ever was in a cluster. It may have data all the same: what
	// somebody restored.
	forming
	// formed: it runs etcd and knows of a cluster, whether that has a quorum now or not.
	formed
)

// view is one member's answer.
type view struct {
	name  string
	state state
	// err says why it is silent.
	err error
	// ticket tells waiting processes apart, and says is the name that this one gives itself; seen are the tickets that it
	// has seen.
	ticket string
	says   string
	seen   []string
	// cluster and members are what a running member knows, which may be old.
	cluster types.ID
	members []*membership.Member
}

func (v view) has(id types.ID) bool {
	return slices.ContainsFunc(v.members, func(m *membership.Member) bool { return m.ID == id })
}

// asker asks members where they talk to each other: there a member answers before it has found its cluster.
type asker struct{ http *http.Client }

func newAsker(s Settings) (*asker, error) {
	t, err := transport.NewTransport(s.PeerTLS, askTimeout)
	if err != nil {
		return nil, fmt.Errorf("read the members' TLS files: %w", err)
	}
	t.DisableKeepAlives = true
	return &asker{http: &http.Client{
		Transport:     t,
		Timeout:       askTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// others asks all other planned members at once.
func (a *asker) others(ctx context.Context, s Settings) []view {
	var all sync.WaitGroup
	views := make([]view, len(s.Cluster)-1)
	i := 0
	for name, urls := range s.others() {
		at := &views[i]
		i++
		all.Go(func() {
			*at = a.member(ctx, urls)
			if at.state == waiting && at.says != name {
				// An old address: what another says of itself is no word of this one.
				*at = view{err: fmt.Errorf("its address leads to a member that calls itself %q", at.says)}
			}
			at.name = name
		})
	}
	all.Wait()
	return views
}

// member asks one member, by one of its URLs after the other.
func (a *asker) member(ctx context.Context, urls []string) view {
	var errs []error
	for _, u := range urls {
		v := a.url(ctx, u)
		if v.state != silent {
			return v
		}
		errs = append(errs, v.err)
	}
	return view{err: errors.Join(errs...)}
}

func (a *asker) url(ctx context.Context, base string) view {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/members", http.NoBody)
	if err != nil {
		return view{err: err}
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return view{err: err}
	}
	defer resp.Body.Close()
	if ticket := resp.Header.Get(waitingHeader); ticket != "" {
		return view{
			state: waiting, ticket: ticket, says: resp.Header.Get(nameHeader),
			seen: strings.Split(resp.Header.Get(seenHeader), ","),
		}
	}
	v := view{state: forming}
	if v.cluster, err = types.IDFromString(resp.Header.Get("X-Etcd-Cluster-ID")); err != nil || v.cluster == 0 || resp.StatusCode != http.StatusOK {
		return view{err: fmt.Errorf("%s: %s: no etcd member's answer", base, resp.Status)}
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return view{err: err}
	}
	if err := json.Unmarshal(raw, &v.members); err != nil || len(v.members) == 0 {
		return view{err: fmt.Errorf("%s: it lists no members: %w", base, err)}
	}
	// A member makes its client URLs known through the cluster, so the first to have some was in one.
	if slices.ContainsFunc(v.members, func(m *membership.Member) bool { return len(m.ClientURLs) > 0 }) {
		v.state = formed
	}
	return v
}
