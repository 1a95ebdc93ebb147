package join

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/types"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// changeTimeout bounds one call that needs the cluster's quorum. etcd itself gives up after 7 s at its defaults.
const changeTimeout = 8 * time.Second

// oneIsWrong is what people have to do about two clusters.
const oneIsWrong = "stop the members of the wrong one and empty their folders (delete their volumes)"

// listMembers asks for the cluster's list, by the cluster's quorum: what one member believes may be old.
func listMembers(ctx context.Context, client *clientv3.Client) (*clientv3.MemberListResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	resp, err := client.MemberList(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the cluster for its members (it answers only with a quorum of them): %w", err)
	}
	return resp, nil
}

func dial(s Settings) (*clientv3.Client, error) {
	client, err := clientv3.New(clientv3.Config{Endpoints: s.Through, TLS: s.ThroughTLS, Logger: zap.NewNop()})
	if err != nil {
		return nil, fmt.Errorf("dial the members at --join-through: %w", err)
	}
	return client, nil
}

// take gets this member a place in a cluster that exists, and says how to start. It may be called again after any error:
// each step is decided by the list as it is then. The cluster must be the one that the other members know.
func (j *joiner) take(ctx context.Context, cluster types.ID) (Start, error) {
	list, err := listMembers(ctx, j.client)
	if err != nil {
		return Start{}, err
	}
	if answers := types.ID(list.Header.GetClusterId()); answers != cluster {
		return Start{}, fmt.Errorf("the cluster %s answers at --join-through, and the other members know the cluster %s: %s", answers, cluster, oneIsWrong)
	}
	next, id, err := place(j.settings, list.Members)
	if err != nil {
		return Start{}, err
	}
	members := list.Members
	if next == stepRemove {
		if err := j.remove(ctx, id); err != nil {
			return Start{}, err
		}
	}
	if next != stepStart {
		ctx, cancel := context.WithTimeout(ctx, changeTimeout)
		defer cancel()
		added, err := j.client.MemberAdd(ctx, j.settings.PeerURLs)
		if err != nil {
			return Start{}, fmt.Errorf("add this member to the cluster: %w", err)
		}
		members, id = added.Members, added.Member.GetID()
		j.log.InfoContext(ctx, "added to the cluster", slog.String("member", types.ID(id).String()))
	}
	return Start{State: stateExisting, InitialCluster: initialCluster(j.settings, members, id)}, nil
}

// remove takes the place of a member away whose data are lost: its votes and promises were in them, so a member without
// them must not speak under its id.
func (j *joiner) remove(ctx context.Context, id uint64) error {
	// Whoever answers at this member's own address beside this process has the data that are thought lost.
	if v := j.asker.member(ctx, j.settings.PeerURLs); v.state != silent && v.ticket != j.room.ticket {
		return errors.New("another process answers at this member's own address: it is not removed from the cluster while that runs")
	}
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	if _, err := j.client.MemberRemove(ctx, id); err != nil {
		return fmt.Errorf("remove the member %s, whose data are lost: %w", types.ID(id), err)
	}
	j.log.InfoContext(ctx, "removed from the cluster, since its data are lost", slog.String("member", types.ID(id).String()))
	return nil
}
