// Package join decides how an etcd member starts whose process comes and goes with its disk: as part of a cluster that is
// to be made, of one that exists, or as what its data say. README.md of this module tells the whole sequence.
//
// Constraints:
//
//  1. A member with data starts with them, whatever others say, unless the cluster's quorum says that it was removed.
//  2. A new cluster is made only when all planned members show that they have no data, each by a process of its own.
//     Silence proves nothing.
//  3. An id speaks for what its disk has promised: without the disk it is removed, and a new id is added.
//  4. The cluster is changed only through its quorum, one step at a time, each decided by the list as it is then.
//  5. While two clusters are known, a member without data joins neither.
package join

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/types"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/drystone-store/drystone/services/kit/clock"
)

// Values of etcd's --initial-cluster-state.
const (
	stateNew      = "new"
	stateExisting = "existing"
)

const (
	// askEvery is the pause between two rounds of questions.
	askEvery = 500 * time.Millisecond
	// sayEvery is the least time between two lines of the log that say why it waits: errors of the network are never the
	// same twice.
	sayEvery = 5 * time.Second
)

// Start is how etcd is to be started. Its zero value changes nothing.
type Start struct {
	// State is `new` or `existing`; empty for a member with data, of which etcd does not ask.
	State string
	// InitialCluster are the members of an existing cluster, this one among them, as etcd's flag has them.
	InitialCluster string
}

// Flags yields the names and values of etcd's flags that say so.
func (s Start) Flags() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		if s.State != "" && !yield("initial-cluster-state", s.State) {
			return
		}
		if s.InitialCluster != "" {
			yield("initial-cluster", s.InitialCluster)
		}
	}
}

// joiner is one run of Join.
type joiner struct {
	settings Settings
	log      *slog.Logger
	asker    *asker
	client   *clientv3.Client
	room     *room
}

// Join finds out how this member is to be started, and gets it a place in its cluster if that exists and has none for it.
// It returns when etcd can be started. Errors: the member was removed, no way in within Settings.Timeout, ctx ended.
func Join(ctx context.Context, s Settings, log *slog.Logger) (Start, error) {
	ask, err := newAsker(s)
	if err != nil {
		return Start{}, err
	}
	client, err := dial(s)
	if err != nil {
		return Start{}, err
	}
	defer func() { _ = client.Close() }()
	j := &joiner{settings: s, log: log, asker: ask, client: client}
	if err := misplaced(s); err != nil {
		return Start{}, err
	}
	id, err := readIdentity(s.WALDir)
	switch {
	case err == nil:
		return Start{}, j.stillMember(ctx, id)
	case !errors.Is(err, errNoData):
		return Start{}, err
	}
	if err := setAside(s.DataDir); err != nil {
		return Start{}, err
	}
	if s.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.Timeout)
		defer cancel()
	}
	if j.room, err = openRoom(ctx, s); err != nil {
		return Start{}, err
	}
	start, err := j.wait(ctx)
	return start, errors.Join(err, j.room.Close())
}

// wait asks around until there is a way to start.
func (j *joiner) wait(ctx context.Context) (Start, error) {
	said, at := "", time.Time{}
	for {
		start, err := j.round(ctx)
		if err == nil {
			j.log.InfoContext(ctx, "starting without data", slog.String("state", start.State), slog.String("cluster", start.InitialCluster))
			return start, nil
		}
		if ctx.Err() == nil && err.Error() != said && (said == "" || clock.Since(at) >= sayEvery) {
			said, at = err.Error(), clock.Now()
			j.log.WarnContext(ctx, "waiting for the cluster", slog.String("because", said))
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) && said != "" {
				return Start{}, fmt.Errorf("no way into the cluster within %s: %s", j.settings.Timeout, said)
			}
			return Start{}, fmt.Errorf("wait for the cluster: %w", ctx.Err())
		case <-time.After(askEvery):
		}
	}
}

// round asks everybody once.
//
// A new cluster needs all members without data. One that waits has none. One that runs etcd in a cluster that is not
// formed has none if it was seen waiting before; so nobody goes on before all others that wait have seen it, or they would
// be left with a member that they cannot judge.
func (j *joiner) round(ctx context.Context) (Start, error) {
	views := j.asker.others(ctx, j.settings)
	cluster, err := known(views)
	switch {
	case err != nil:
		return Start{}, err
	case cluster != 0:
		return j.take(ctx, cluster)
	}
	if missing := j.missing(views); len(missing) > 0 {
		return Start{}, fmt.Errorf("nobody knows of a cluster, and a new one is made only when all members show that they have no data: %s",
			strings.Join(missing, "; "))
	}
	return Start{State: stateNew}, nil
}

// known is the cluster that members know of; 0: none does. Error: they know of two, each of which may be the right one.
func known(views []view) (types.ID, error) {
	var first view
	for _, v := range views {
		switch {
		case v.state != formed:
		case first.name == "":
			first = v
		case v.cluster != first.cluster:
			return 0, fmt.Errorf("%s is of the cluster %s, and %s is of the cluster %s: %s", first.name, first.cluster, v.name, v.cluster, oneIsWrong)
		}
	}
	return first.cluster, nil
}

// missing says, for each member that does not show that it has no data, why.
func (j *joiner) missing(views []view) []string {
	var missing []string
	met := map[string]string{j.room.ticket: j.settings.Name}
	for _, v := range views {
		switch v.state {
		case formed: // There is a cluster, and nothing to miss.
		case waiting:
			if other, twice := met[v.ticket]; twice {
				missing = append(missing, fmt.Sprintf("the addresses of %s and %s lead to one process", other, v.name))
				continue
			}
			met[v.ticket] = v.name
			j.room.note(v.name, v.ticket)
			if !slices.Contains(v.seen, j.room.ticket) {
				missing = append(missing, v.name+" has not noticed this member yet")
			}
		case forming:
			if !j.room.saw(v.name) {
				missing = append(missing, v.name+" runs with data of its own, but has no quorum (on a FIRST install, and only then, those are nothing yet: empty its folder, that is delete its volume, and start it again)")
			}
		case silent:
			missing = append(missing, fmt.Sprintf("no answer from %s (%v)", v.name, v.err))
		}
	}
	return missing
}

// stillMember makes sure that a member with data was not removed, as far as somebody can tell: etcd itself would end
// without saying what to do.
func (j *joiner) stillMember(ctx context.Context, id Identity) error {
	doubt := false
	for _, v := range j.asker.others(ctx, j.settings) {
		doubt = doubt || v.state == formed && (v.cluster != id.Cluster || !v.has(id.Member))
	}
	if !doubt {
		return nil
	}
	list, err := listMembers(ctx, j.client)
	if err != nil {
		j.log.WarnContext(ctx, "starting with data that others do not know of", slog.Any("error", err))
		return nil
	}
	if cluster := list.Header.GetClusterId(); cluster != uint64(id.Cluster) {
		return fmt.Errorf("the data in %s belong to the cluster %s, the other members are the cluster %x: if theirs is the right one, empty the folder (delete the volume) and start again, and this member joins it",
			j.settings.DataDir, id.Cluster, cluster)
	}
	for _, m := range list.Members {
		if m.GetID() == uint64(id.Member) {
			return nil
		}
	}
	return fmt.Errorf("this member, %s, was removed from the cluster, and its data in %s are of no use any more: empty the folder (delete the volume) and start again, and it joins as a new member",
		id.Member, j.settings.DataDir)
}
