package join

import (
	"fmt"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/types"
)

// step is what is to be done next for a member without data, by the cluster's list of members.
type step int

const (
	// stepStart: the list has a place for this member that nobody ever took.
	stepStart step = iota
	// stepAdd: the list has no place for it.
	stepAdd
	// stepRemove: the list has the place of a member of the same name or URL that had data, which are lost.
	stepRemove
)

// place looks for this member in the cluster's list. For stepRemove it says which id. Errors: people have to decide.
func place(s Settings, members []*etcdserverpb.Member) (step, uint64, error) {
	var own []*etcdserverpb.Member
	for _, m := range members {
		if m.GetName() == s.Name || slices.ContainsFunc(m.GetPeerURLs(), func(u string) bool { return slices.Contains(s.PeerURLs, u) }) {
			own = append(own, m)
		}
	}
	switch {
	case len(own) > 1:
		return 0, 0, fmt.Errorf("the cluster has two members that could be this one, %s and %s: remove the wrong one",
			describe(own[0]), describe(own[1]))
	case len(own) == 0 && len(members) >= len(s.Cluster):
		return 0, 0, fmt.Errorf("the cluster has %d members already, none of them this one, and --initial-cluster plans %d: remove those that are no more",
			len(members), len(s.Cluster))
	case len(own) == 0:
		return stepAdd, 0, nil
	case own[0].GetIsLearner():
		return 0, 0, fmt.Errorf("the cluster has %s as a learner, which would never vote by itself: take its place away (`etcdctl member remove %s`), and this member adds itself as a voter; only a learner that runs with its data can be made one (`etcdctl member promote %s`)",
			describe(own[0]), types.ID(own[0].GetID()), types.ID(own[0].GetID()))
	case len(own[0].GetClientURLs()) > 0:
		return stepRemove, own[0].GetID(), nil
	case !slices.Equal(sorted(own[0].GetPeerURLs()), s.PeerURLs):
		return stepRemove, own[0].GetID(), nil // Planned under URLs that this member does not have.
	}
	return stepStart, own[0].GetID(), nil
}

// initialCluster writes the cluster's list as etcd's flag wants it: exactly the members that there are, each with a name.
func initialCluster(s Settings, members []*etcdserverpb.Member, id uint64) string {
	var parts []string
	for _, m := range members {
		name := m.GetName()
		if m.GetID() == id {
			name = s.Name
		}
		for _, u := range m.GetPeerURLs() {
			if name == "" {
				name = s.planned(u)
			}
			if name == "" {
				name = types.ID(m.GetID()).String()
			}
			parts = append(parts, name+"="+u)
		}
	}
	return strings.Join(parts, ",")
}

// planned finds a member's name by its URL.
func (s Settings) planned(peerURL string) string {
	for name, urls := range s.others() {
		if slices.Contains(urls, peerURL) {
			return name
		}
	}
	return ""
}

func describe(m *etcdserverpb.Member) string {
	return fmt.Sprintf("%s (%q at %s)", types.ID(m.GetID()), m.GetName(), strings.Join(m.GetPeerURLs(), ","))
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }
