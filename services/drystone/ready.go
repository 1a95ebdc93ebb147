package drystone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"time"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/kit/clock"
)

const (
	// How often what cannot announce itself is asked while everything starts.
	pollEvery = 10 * time.Millisecond
	// How long a start waits for every node to be up, or to be called down, which takes placement 5 s. A disk that died
	// must not keep the others down, nor the whole store over its 10 s.
	allNodesPatience = 7 * time.Second
	// How long one question may take.
	probeTimeout = 2 * time.Second
)

// finalError ends the waiting: more patience helps nothing.
type finalError struct{ error }

// Unwrap implements errors.Unwrap's convention.
func (e finalError) Unwrap() error { return e.error }

// waitFor asks check until it returns nil or a finalError, a service ends, or ctx does.
func (m *mesh) waitFor(ctx context.Context, check func(context.Context) error) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := probe(ctx, check)
		var final finalError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &final):
			return final.error
		}
		select {
		case <-tick.C:
		case failed := <-m.crew.ended:
			if err := m.ended(ctx, failed); err != nil {
				return err
			}
		case <-ctx.Done():
			return fmt.Errorf("wait until everything is ready: %w (%w)", context.Cause(ctx), err)
		}
	}
}

func probe(ctx context.Context, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return check(ctx)
}

// waitNodes returns the default scheme once a write would succeed with every node; or, after a while, with enough of
// them.
func (m *mesh) waitNodes(ctx context.Context, want Topology) (scheme string, err error) {
	begun := clock.Now()
	err = m.waitFor(ctx, func(ctx context.Context) error {
		if err := m.registry.Ready(); err != nil {
			return err
		}
		now, err := m.topology(ctx)
		if err != nil {
			return err
		}
		if node := m.unsettledNode(want, now); node != "" && clock.Since(begun) < allNodesPatience {
			return fmt.Errorf("%s is not up", node)
		}
		if now.GetWriteScheme() == nil {
			return errors.New("no scheme keeps the floor on the disks that are healthy: see the log for those that are not")
		}
		s, err := erasure.FromProto(now.GetDefaultScheme())
		scheme = s.String()
		return err
	})
	return scheme, err
}

// topology is placement's picture of this moment.
func (m *mesh) topology(ctx context.Context) (*placementv1.Topology, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := placementv1.NewPlacementServiceClient(m.placement).WatchTopology(ctx, &placementv1.WatchTopologyRequest{})
	if err != nil {
		return nil, fmt.Errorf("ask placement for the topology: %w", err)
	}
	answer, err := stream.Recv()
	if err != nil {
		return nil, fmt.Errorf("ask placement for the topology: %w", err)
	}
	return answer.GetTopology(), nil
}

// unsettledNode names a node that may still come up; "" when there is none. Until placement calls an absent node down,
// it opens no volumes.
func (m *mesh) unsettledNode(want Topology, now *placementv1.Topology) string {
	settled := maps.Clone(m.lost)
	for _, n := range now.GetNodes() {
		state := n.GetState()
		settled[n.GetPlace().GetNode()] = state == placementv1.NodeState_NODE_STATE_UP || state == placementv1.NodeState_NODE_STATE_DOWN
	}
	for _, n := range want.Nodes {
		if !settled[n.Name] {
			return n.Name
		}
	}
	return ""
}

// waitFrontDoor returns when the front-door says that it is ready.
func (m *mesh) waitFrontDoor(ctx context.Context) error {
	return m.waitFor(ctx, func(ctx context.Context) error {
		select {
		case <-m.frontdoor.Listening():
			return m.frontDoorReady(ctx)
		default:
			return errors.New("the front-door does not listen yet")
		}
	})
}

func (m *mesh) frontDoorReady(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.frontdoor.Addrs().REST+"/readyz", http.NoBody)
	if err != nil {
		return finalError{fmt.Errorf("ask the front-door: %w", err)}
	}
	// No proxy stands before our own listener, and no connection is kept.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("ask the front-door: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return fmt.Errorf("the front-door is not ready: %s", why)
	}
	return m.registry.Ready() // what the metrics listener's /readyz says must hold too
}
